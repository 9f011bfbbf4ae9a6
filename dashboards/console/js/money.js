// What is walking away: the value of what was abandoned in the window, against what usually is.

import { make, setAttribute, setText } from "./dom.js";
import { count, money, title, WINDOW_MS, WINDOW_NAMES } from "./format.js";

const NAMES = { cart: "Carts", checkout: "Checkouts", basket: "Till baskets" };
const WITHOUT_MONEY = ["search", "form", "support", "queue"];
const HOUR_MS = 3_600_000;

export class Money {
  constructor(root) {
    this.root = root;
    this.cards = [];
  }

  /** Once it is known which funnels there are. */
  begin({ funnels }) {
    if (this.cards.length) return;
    this.cards = funnels.filter((funnel) => !WITHOUT_MONEY.includes(funnel)).map((funnel) => {
      const name = NAMES[funnel] ?? title(funnel);
      const card = { funnel, value: make("p.value"), detail: make("p.detail"), verdict: make("p.verdict") };
      card.root = make("article.card", { "data-signal": `${funnel}_value_abandoned` }, make("h3", {}, name), card.value, card.detail, card.verdict);
      this.root.append(card.root);
      return card;
    });
  }

  show(model, segment, window) {
    const text = money(model.config.currency);
    for (const card of this.cards) {
      const signal = `${card.funnel}_value_abandoned`;
      const row = model.now(segment, signal);
      const usual = model.usual[signal];
      setAttribute(card.root, "data-empty", String(row === null));
      const isFresh = model.isFresh(segment);
      setText(card.value, row ? text(row.numerator) : isFresh ? text(0) : "no data");
      const each = row && row.lower !== row.upper ? ` (${text(row.lower)} to ${text(row.upper)})` : "";
      setText(card.detail, row
        ? `${count(row.n)} left in the last ${WINDOW_NAMES[window]}, ${text(row.value)} each${each}`
        : isFresh ? `Nothing left in the last ${WINDOW_NAMES[window]}.` : "Not up to date.");
      // In some hours nothing was left: they count, if there were any events.
      const hours = Math.max(usual?.hours ?? 0, model.usual.friction?.hours ?? 0);
      const share = WINDOW_MS[window] / HOUR_MS;
      setText(card.verdict, usual ? `usual ${text((usual.value * usual.n * share) / hours)} in such a time` : "");
    }
  }
}
