// Who came back for what was left: of journeys of somebody known, over the last seven days. None of these is lost
// yet: that takes seven days.

import { get } from "./api.js";
import { make } from "./dom.js";
import { ago, count, money, percent, title } from "./format.js";

const AGAIN_MS = 30_000;
const NAMES = { cart: "Carts", checkout: "Checkouts", basket: "Till baskets" };

export class Recovery {
  constructor(panel, root, isPaused) {
    Object.assign(this, { panel, root, isPaused, segment: null, rows: null, net: new Map() });
    setInterval(() => !this.isPaused() && !document.hidden && this.load(), AGAIN_MS);
  }

  look(segment, config) {
    if (this.segment === segment && this.config === config) return;
    this.segment = segment;
    this.config = config;
    this.rows = null;
    this.load();
  }

  /** Beside what is asked for now and then, what stands for now: abandoned for good, of what ended in the window. */
  show(model, segment) {
    const net = Object.keys(NAMES).map((funnel) => [funnel, model.now(segment, `${funnel}_net_abandonment`)]);
    const shown = JSON.stringify(net);
    if (shown === this.shown) return;
    this.shown = shown;
    this.net = new Map(net);
    if (this.rows !== null) this.#draw();
  }

  async load() {
    const { segment } = this;
    if (segment === null) return;
    const page = await get("/api/v1/recoveries", { segment }).catch(() => null);
    if (page === null || segment !== this.segment) return; // what is shown stays
    this.rows = page.rows;
    this.#draw();
  }

  #draw() {
    const rows = this.rows.filter((row) => row.abandoned > 0);
    this.panel.hidden = rows.length === 0;
    const text = money(this.config.currency);
    const of = (n, all) => (all ? `${count(n)} (${percent(n / all)})` : "–");
    const head = ["", "Net now", "Abandoned", "Known", "Bought elsewhere", "Came back", "Other channel", "After", "Recovered", "Open"];
    const cells = (row) => {
      const left = row.known - row.completed_elsewhere;
      const net = this.net.get(row.funnel) ?? null;
      return [
        net === null ? "–" : `${percent(net.value)} (n ${count(net.n)})`, count(row.abandoned), of(row.known, row.abandoned), of(row.completed_elsewhere, row.known), of(row.recovered, left),
        of(row.recovered_elsewhere, row.recovered), row.recovered ? ago(1_000 * row.median_s) : "–", text(row.value_recovered), count(row.open),
      ];
    };
    this.root.replaceChildren(make("table", {},
      make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows.map((row) => make("tr", { "data-funnel": row.funnel },
        make("th", { scope: "row" }, NAMES[row.funnel] ?? title(row.funnel)), ...cells(row).map((cell) => make("td", {}, cell)))))));
  }
}
