// The chosen segment and window are in the address, so that you can send a colleague the view that you see.

import { getAll } from "./api.js";
import { make } from "./dom.js";
import { segmentName } from "./format.js";

const DEFAULTS = { segment: "all", window: "5m", funnel: "checkout", sort: "queue_abandonment:worst" };
const WINDOWS = ["1m", "5m", "15m", "1h"];
const AGAIN_MS = 60_000;
const GROUPS = {
  channel: "Channels", region: "Regions", store_id: "Stores",
  "channel|device": "Channel and device", "channel|store_id": "Channel and store",
};

export function fromAddress() {
  const given = new URLSearchParams(location.search);
  const found = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) if (given.get(name)) found[name] = given.get(name);
  if (!WINDOWS.includes(found.window)) found.window = DEFAULTS.window;
  return found;
}

export function toAddress(choice, isNewPlace) {
  const changed = Object.entries(choice).filter(([name, value]) => value !== DEFAULTS[name]);
  const query = new URLSearchParams(changed).toString();
  const address = query ? `?${query}` : location.pathname;
  if (isNewPlace) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

/** The list of segments, grouped by their dimensions. */
export class SegmentPicker {
  constructor(select, changed) {
    this.select = select;
    select.addEventListener("change", () => changed(select.value));
    setInterval(() => this.load(), AGAIN_MS);
  }

  async load() {
    const rows = await getAll("/api/v1/segments", {}).catch(() => null);
    if (!rows || document.activeElement === this.select) return;
    this.segments = rows.map((row) => row.segment);
    this.#build();
  }

  show(segment) {
    this.segment = segment;
    if (![...this.select.options].some((option) => option.value === segment)) this.#build();
    this.select.value = segment;
  }

  #build() {
    const all = [...new Set(["all", ...(this.segments ?? []), this.segment ?? "all"])];
    const groups = new Map();
    for (const segment of all) {
      const dimensions = segment === "all" ? "" : segment.split("|").map((part) => part.split("=")[0]).join("|");
      if (!groups.has(dimensions)) groups.set(dimensions, []);
      groups.get(dimensions).push(make("option", { value: segment }, segmentName(segment)));
    }
    const order = ["", ...Object.keys(GROUPS)];
    const names = [...groups.keys()].sort((a, b) => (order.indexOf(a) + 99) % 99 - (order.indexOf(b) + 99) % 99);
    this.select.replaceChildren(...names.flatMap((name) =>
      name === "" ? groups.get(name) : [make("optgroup", { label: GROUPS[name] ?? name.replaceAll("|", " and ") }, ...groups.get(name))]));
    this.select.value = this.segment ?? "all";
  }
}
