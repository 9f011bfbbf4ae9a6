// A moment of the past: what the live page would be told then, asked for once.

import { get, getAll } from "./api.js";
import { storeSignals } from "./stores.js";

const COLUMNS = ["signal", "segment", "numerator", "denominator", "value", "lower", "upper", "complete"];

const SHORT = ["1m", "5m"]; // kept for days
const KEPT_LONGER = "15m"; // and this one for weeks

/** Fill the model with what stood at a time, ms. */
export async function lookBack(model, { segment, window: wanted, page }, atMs, abort) {
  const at = new Date(atMs).toISOString();
  const isKept = !SHORT.includes(wanted) || (await get("/api/v1/signals", { segment: "all", window: wanted, at, limit: 1 }, abort)).rows.length > 0;
  const window = isKept ? wanted : KEPT_LONGER;
  const channels = ["channel=web", "channel=app", "channel=pos"].filter((name) => name !== segment);
  const ofStores = page === "stores" ? storeSignals(model.config) : [];
  const [own, funnels, alerts, usual, ...others] = await Promise.all([
    getAll("/api/v1/signals", { segment, window, at }, undefined, abort),
    get("/api/v1/funnels", { segment, window, at }, abort),
    getAll("/api/v1/alerts", { at }, undefined, abort),
    get("/api/v1/signals/usual", { segment, at }, abort),
    ...channels.map((name) => getAll("/api/v1/signals", { segment: name, window, at }, undefined, abort)),
    ...ofStores.map((signal) => getAll("/api/v1/signals", { dimension: "store_id", signal, window, at }, undefined, abort)),
  ]);
  const rows = [own, ...others].flat().map((row) => [row.signal, row.segment, Date.parse(row.window_end), ...COLUMNS.slice(2).map((name) => row[name])]);
  model.takeRows({ rows, window, whole: true, as_of: rows.length ? atMs : null, events_until: atMs });
  model.takePast(atMs);
  model.funnels = funnels.rows;
  model.usual = Object.fromEntries(usual.rows.map(({ signal, ...rest }) => [signal, rest]));
  model.alerts = alerts;
}
