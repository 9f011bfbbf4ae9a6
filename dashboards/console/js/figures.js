// The large figures: value, interval, n, and what is usual at this hour.

import { make, setAttribute, setText, svg } from "./dom.js";
import { count, number, percent, title } from "./format.js";

const SHARE = { text: percent, low: 0, high: 1 };
// `usual`: where it needs no history to say what is usual.
const FIGURES = [
  { signal: "csat", name: "Satisfied (CSAT)", hint: "Answers of 4 or 5 out of 5", unit: SHARE },
  { signal: "nps", name: "Net promoter score", hint: "Promoters less detractors, −100 to 100", unit: { text: number(0), low: -100, high: 100 } },
  { signal: "ces", name: "Ease (CES)", hint: "Mean answer, 1 to 7", unit: { text: number(2), low: 1, high: 7 } },
  { signal: "checkout_abandonment", name: "Checkouts abandoned", hint: "Of those that ended", unit: SHARE },
  { signal: "checkout_nowcast", name: "Checkouts begun now, nowcast", hint: "Will not complete if all stays as it is", unit: SHARE },
  { signal: "checkout_completion_ratio", name: "Checkout completions against usual", hint: "100 % is usual; of this hour of the week, once that is known", expected: true, unit: { text: percent, low: 0, high: 2 }, usual: { value: 1, basis: "ratio" } },
  { signal: "cart_abandonment", name: "Carts abandoned", hint: "Of those that ended", unit: SHARE },
  { signal: "basket_abandonment", name: "Till baskets abandoned", hint: "Of those that ended", unit: SHARE },
  { signal: "queue_abandonment", name: "Queues left", hint: "Of those that ended", unit: SHARE },
  { signal: "search_abandonment", name: "Searches given up", hint: "Of those that ended", unit: SHARE },
  { signal: "form_abandonment", name: "Forms given up", hint: "Of those that ended", unit: SHARE },
  { signal: "support_abandonment", name: "Support contacts given up", hint: "Of those that ended", unit: SHARE },
  { signal: "friction", name: "Friction", hint: "Rage clicks, dead clicks and errors, of all events", unit: SHARE },
];

/** Those of the shop: what it has switched off is not shown, and each funnel of its own has a figure. */
export function figuresOf({ signals, funnels }) {
  const known = FIGURES.filter((figure) => signals[figure.signal]);
  const own = funnels.filter((funnel) => !known.some((figure) => signals[figure.signal].funnel === funnel));
  const more = own.map((funnel) => ({ signal: `${funnel}_abandonment`, name: `${title(funnel)}: given up`, hint: "Of those that ended", unit: SHARE }));
  return [...known.slice(0, -1), ...more, ...known.slice(-1)];
}

const LEAST_N = 10;
const VERDICTS = {
  worse: ["▼", "worse than usual"],
  better: ["▲", "better than usual"],
  same: ["≈", "no different from usual"],
  few: ["?", "too few to tell"],
};

export class Figures {
  constructor(root) {
    this.root = root;
    this.cards = [];
  }

  /** Once it is known which signals there are. */
  begin(config) {
    if (this.cards.length) return;
    this.cards = figuresOf(config).map((figure) => new Card(figure, this.root));
  }

  show(model, segment) {
    for (const card of this.cards) {
      const { signal, usual } = card.figure;
      card.show(model.now(segment, signal), usual ?? model.usual[signal], model.isFresh(segment), model.better(signal));
    }
  }
}

class Card {
  constructor(figure, root) {
    this.figure = figure;
    this.value = make("p.value", {}, "–");
    this.detail = make("p.detail");
    this.verdict = make("p.verdict");
    this.range = new Range(figure.unit);
    this.root = make("article.card", { "data-signal": figure.signal },
      make("h3", {}, figure.name), make("p.hint", {}, figure.hint), this.value, this.range.root, this.detail, this.verdict);
    root.append(this.root);
  }

  show(row, usual, isFresh, better) {
    const { text } = this.figure.unit;
    const n = this.figure.expected ? "expected" : "n =";
    setAttribute(this.root, "data-empty", String(row === null));
    setText(this.value, row ? text(row.value) : "no data");
    setText(this.detail, row ? `${interval(row, text)}${n} ${count(row.n)}` : isFresh ? "Nothing of this in the window." : "Not up to date.");
    setText(this.verdict, row || usual ? sentence(row, usual, text, better) : "");
    setAttribute(this.root, "data-verdict", row && usual ? verdict(row, usual.value, better) : "none");
    this.range.show(row, usual?.value);
  }
}

/** Answers that all agree make no interval of a mean. */
function interval(row, text) {
  return row.lower === row.upper ? "" : `${text(row.lower)} to ${text(row.upper)} (95 %), `;
}

/** Only what the interval excludes is called better or worse, and nothing of a handful. */
export function verdict(row, usual, better) {
  if (row.n < LEAST_N || row.lower === row.upper) return "few";
  if (usual >= row.lower && usual <= row.upper) return "same";
  return (row.value > usual) === (better === "high") ? "better" : "worse";
}

function sentence(row, usual, text, better) {
  if (!usual) return "What is usual is not known yet.";
  if (usual.basis === "ratio") return row ? mark(row, usual, better) : "";
  const from = { week: `this hour of the week, ${usual.hours} weeks`, day: `this hour on ${usual.hours} days`, all: `${usual.hours} of the last 24 hours` };
  const known = `usual ${text(usual.value)} (${from[usual.basis]}, n = ${count(usual.n)})`;
  return row ? `${mark(row, usual, better)}; ${known}` : known;
}

function mark(row, usual, better) {
  return VERDICTS[verdict(row, usual.value, better)].join(" ");
}

/** The interval as a line, the value as a dot, the usual as a tick. */
class Range {
  constructor(unit) {
    this.unit = unit;
    this.line = svg("line", { class: "interval", y1: 6, y2: 6 });
    this.tick = svg("line", { class: "usual", y1: 0, y2: 12 });
    this.dot = svg("circle", { cy: 6, r: 4 });
    this.root = svg("svg", { class: "range", viewBox: "-4 0 208 12", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("line", { class: "scale", x1: 0, x2: 200, y1: 6, y2: 6 }), this.line, this.tick, this.dot);
  }

  #at(value) {
    const { low, high } = this.unit;
    return String(Math.round(200 * Math.min(1, Math.max(0, (value - low) / (high - low)))));
  }

  show(row, usual) {
    for (const part of [this.line, this.dot]) part.style.display = row ? "" : "none";
    this.tick.style.display = usual === undefined ? "none" : "";
    if (usual !== undefined) for (const end of ["x1", "x2"]) setAttribute(this.tick, end, this.#at(usual));
    if (!row) return;
    setAttribute(this.line, "x1", this.#at(row.lower));
    setAttribute(this.line, "x2", this.#at(row.upper));
    setAttribute(this.dot, "cx", this.#at(row.value));
  }
}
