// The table of stores: worst first, each figure with its n, and the last hour as a line.

import { get } from "./api.js";
import { keepFocus, make, setAttribute, setText, svg } from "./dom.js";
import { count, number, percent, segmentName, title } from "./format.js";

const COLUMNS = [
  { signal: "queue_abandonment", name: "Queues left", text: percent },
  { signal: "basket_abandonment", name: "Baskets voided", text: percent },
  { signal: "csat", name: "CSAT", text: percent },
  { signal: "nps", name: "NPS", text: number(0) },
  { signal: "friction", name: "Friction", text: percent },
  { signal: "cart_abandonment", name: "Carts left", text: percent },
  { signal: "checkout_abandonment", name: "Checkouts left", text: percent },
];
const OURS = ["search", "cart", "checkout", "form", "support", "queue", "basket"];

/** With one for each funnel of the shop's own. */
function columnsOf({ signals, funnels }) {
  const own = funnels.filter((funnel) => !OURS.includes(funnel));
  const more = own.map((funnel) => ({ signal: `${funnel}_abandonment`, name: `${title(funnel)}: given up`, text: percent }));
  return [...COLUMNS.filter((column) => signals[column.signal]), ...more];
}

const SHOWN = 20;
const NONE = [];
const HOUR_MS = 3_600_000;
const TREND_MS = 60_000;

export class Stores {
  constructor(root, more, { sorted, picked, isPaused }) {
    Object.assign(this, { root, more, sorted, picked, isPaused, rows: new Map(), trends: new Map(), all: false });
    more.addEventListener("click", () => {
      this.all = !this.all;
      this.stale = true;
    });
    setInterval(() => this.load(), TREND_MS);
  }

  look(view, sort, config) {
    const [signal, direction] = sort.split(":");
    this.columns = columnsOf(config);
    this.column = this.columns.find((column) => column.signal === signal) ?? this.columns[0];
    this.direction = direction === "best" ? "best" : "worst";
    this.byName = signal === "name";
    this.view = view;
    this.trends = new Map();
    this.stale = true;
    this.load();
  }

  async load() {
    const { view, column } = this;
    if (!view || this.isPaused()) return;
    const { signal } = column;
    const found = await get("/api/v1/trends", { signal, dimension: "store_id", window: view.window }).catch(() => null);
    if (!found || view !== this.view || column !== this.column) return;
    this.until = Date.parse(found.as_of);
    this.trends = new Map(found.rows.map((row) => [row.segment, row.points]));
    for (const row of this.rows.values()) row.trend = null;
  }

  show(model) {
    const names = model.segments("store_id=");
    const used = this.columns.filter((column) => names.some((name) => model.now(name, column.signal)));
    if (!names.length || !used.length) return false;
    const heads = used.map((column) => column.signal).join();
    if (heads !== this.heads || this.stale) keepFocus(this.root, () => this.#head(used, model));
    this.heads = heads;
    this.stale = false;
    const ranked = this.#rank(names, model);
    const shown = this.all ? ranked : ranked.slice(0, SHOWN);
    keepFocus(this.root, () => this.#body(shown, model, used));
    this.more.hidden = ranked.length <= SHOWN;
    setText(this.more, this.all ? `Show the first ${SHOWN} only` : `Show all ${ranked.length} stores`);
    return true;
  }

  /** By the end of the interval that is nearer to the harmless side. */
  #rank(names, model) {
    if (this.byName) {
      const order = names.sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
      return this.direction === "best" ? order.reverse() : order;
    }
    const { signal } = this.column;
    const worst = this.direction === "worst";
    const isHigh = (model.better(signal) === "low") === worst; // high values come first
    const score = (name) => {
      const row = model.now(name, signal);
      if (!row) return -Infinity;
      return isHigh ? row.lower : -row.upper;
    };
    const scores = new Map(names.map((name) => [name, score(name)]));
    return names.sort((a, b) => scores.get(b) - scores.get(a) || (a < b ? -1 : 1));
  }

  #head(used, model) {
    const head = (signal, name) => {
      const isSorted = this.byName ? signal === "name" : signal === this.column.signal;
      const next = isSorted && this.direction === "worst" ? "best" : "worst";
      const arrow = isSorted ? (this.direction === "worst" ? " ▾" : " ▴") : "";
      const isUp = signal === "name" ? this.direction === "worst" : (model.better(signal) === "low") !== (this.direction === "worst");
      const order = isSorted ? (isUp ? "ascending" : "descending") : null;
      const button = make("button", { type: "button", "data-key": `by ${signal}`, onclick: () => this.sorted(`${signal}:${next}`) }, name, make("span", { "aria-hidden": "true" }, arrow));
      return make("th", { scope: "col", "aria-sort": order, class: signal === "name" ? null : "number" }, button);
    };
    const trend = make("th", { scope: "col" }, `${this.column.name}, last hour`);
    this.body = make("tbody");
    const heads = [head("name", "Store"), ...used.map((column) => head(column.signal, column.name)), trend];
    this.root.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...heads)), this.body));
    this.rows.clear();
  }

  #body(shown, model, used) {
    shown.forEach((name, at) => {
      let row = this.rows.get(name);
      if (!row) this.rows.set(name, (row = this.#row(name, used)));
      for (const { column, cell, n } of row.cells) {
        const found = model.now(name, column.signal);
        setText(cell, found ? column.text(found.value) : "–");
        setText(n, found ? count(found.n) : "");
        setAttribute(cell.parentElement, "title", found ? `${column.text(found.lower)} to ${column.text(found.upper)} (95 %), n = ${count(found.n)}` : "no data");
      }
      const points = this.trends.get(name) ?? NONE;
      if (row.trend !== points) {
        row.trend = points;
        row.line.setAttribute("points", polyline(points, this.until));
      }
      if (this.body.children[at] !== row.root) this.body.insertBefore(row.root, this.body.children[at] ?? null);
    });
    while (this.body.children.length > shown.length) this.body.lastElementChild.remove();
  }

  #row(name, used) {
    const cells = used.map((column) => ({ column, cell: make("span"), n: make("small") }));
    const line = svg("polyline", { points: "" });
    const link = make("a", { "data-key": name, href: `?segment=${encodeURIComponent(name)}`, onclick: (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      this.picked(name);
    } }, segmentName(name));
    const chart = svg("svg", { class: "spark", viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true" }, line);
    const columns = cells.map(({ cell, n }) => make("td.number", {}, cell, " ", n));
    return { cells, line, trend: null, root: make("tr", { "data-store": name }, make("th", { scope: "row" }, link), ...columns, make("td", {}, chart)) };
  }
}

function polyline(points, until) {
  if (points.length < 2) return "";
  const values = points.map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (at) => 100 * (1 - (until - Date.parse(at)) / HOUR_MS);
  const y = (value) => (high === low ? 10 : 18 - (16 * (value - low)) / (high - low));
  return points.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
}

