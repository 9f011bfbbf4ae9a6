// What the sources of the collector have sent in the last day.

import { get } from "./api.js";
import { make } from "./dom.js";
import { ago, count, now, percent } from "./format.js";

const AGAIN_MS = 30_000;
const SILENT_MS = 1_800_000;
const HEAD = ["", "Kind", "Touchpoints", "No touchpoints", "Not mapped", "Copies", "Orders told again", "Too late", "Newest event"];

export class Sources {
  constructor(panel, root, isPaused) {
    Object.assign(this, { panel, root, isPaused });
    setInterval(() => !this.isPaused() && !document.hidden && this.load(), AGAIN_MS);
  }

  async load() {
    const page = await get("/api/v1/sources", {}).catch(() => null);
    if (page === null) return; // what is shown stays
    this.panel.hidden = page.rows.length === 0;
    const of = (n, all) => (n ? `${count(n)} (${percent(n / all)})` : "0");
    const row = (one) => {
      const all = one.mapped + one.ignored + one.invalid + one.copies + one.orders_again;
      const silent = now() - Date.parse(one.newest_at);
      const cells = [
        one.kind, count(one.mapped), count(one.ignored), of(one.invalid, all), count(one.copies), count(one.orders_again),
        count(one.too_late), one.mapped ? `${ago(silent)} ago${silent > SILENT_MS ? ": silent" : ""}` : "none",
      ];
      return make("tr", { "data-source": one.source }, make("th", { scope: "row" }, one.source), ...cells.map((cell) => make("td", {}, cell)));
    };
    this.root.replaceChildren(make("table", {},
      make("thead", {}, make("tr", {}, ...HEAD.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...page.rows.map(row))));
  }
}
