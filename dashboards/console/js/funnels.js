// Each funnel: how its journeys ended, and where those who gave up had come to.

import { make, setAttribute, setText } from "./dom.js";
import { count, percent } from "./format.js";

const MOST_STEPS = 5;

export class Funnels {
  constructor(root, pick) {
    this.root = root;
    this.pick = pick;
    this.cards = new Map();
  }

  show(model, segment, picked) {
    const known = new Map(model.funnels.map((one) => [one.funnel, one]));
    for (const funnel of model.config.funnels) {
      if (!this.cards.has(funnel)) this.cards.set(funnel, new Card(funnel, this.root, this.pick));
      this.cards.get(funnel).show(model.now(segment, `${funnel}_abandonment`), known.get(funnel), funnel === picked);
    }
  }
}

class Card {
  constructor(funnel, root, pick) {
    this.button = make("button.link", { type: "button", title: "Show it in the charts", onclick: () => pick(funnel) }, funnel);
    this.left = make("div.left");
    this.bar = make("div.bar", { "aria-hidden": "true" }, this.left);
    this.text = make("p.detail");
    this.steps = make("ol.steps");
    root.append(make("article.card.funnel", { "data-funnel": funnel }, make("h3", {}, this.button), this.bar, this.text, this.steps));
  }

  show(row, funnel, isPicked) {
    const { exits = [], abandoned: all = 0, emptied = 0 } = funnel ?? {};
    setAttribute(this.button, "aria-pressed", String(isPicked));
    this.left.style.width = row ? `${100 * row.value}%` : "0";
    const more = emptied ? ` (${count(emptied)} more were emptied)` : "";
    setText(this.text, (row
      ? `${percent(row.value)} left: ${count(row.numerator)} of ${count(row.n)} that ended`
      : "None ended in the window") + (more || (row ? "" : ".")));
    const rows = exits.slice(0, MOST_STEPS).map((exit) => {
      const share = make("span.share", { "aria-hidden": "true" });
      share.style.width = `${(100 * exit.abandoned) / all}%`;
      return make("li", {}, share, make("span.step", {}, exit.step || "no step"), make("span.n", { title: `${count(exit.abandoned)} of ${count(all)}` }, percent(exit.abandoned / all)));
    });
    const shown = JSON.stringify(exits);
    if (shown !== this.shown) this.steps.replaceChildren(...rows);
    this.shown = shown;
  }
}
