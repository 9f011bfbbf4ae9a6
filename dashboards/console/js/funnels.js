// Each funnel: how its journeys ended, and where those who gave up had come to.

import { funnelName } from "./describe.js";
import { count, percent } from "./format.js";
import { t } from "./i18n.js";
import { addressOf } from "./place.js";
import { html } from "./ui.js";

const MOST_STEPS = 6;

export function Funnels({ state: { model, place }, actions }) {
  const known = new Map(model.funnels.map((one) => [one.funnel, one]));
  const go = (funnel) => (event) => {
    event.preventDefault();
    event.stopPropagation();
    actions.choose({ page: "trends", funnel });
  };
  return html`<section aria-labelledby="funnels-title">
    <h1 id="funnels-title">${t("funnels.title")}</h1>
    <div id="funnels" class="cards">${model.config.funnels.map((funnel) => {
      const row = model.now(place.segment, `${funnel}_abandonment`);
      const { exits = [], abandoned: all = 0, emptied = 0 } = known.get(funnel) ?? {};
      const more = emptied ? t("funnels.emptied", { n: count(emptied) }) : "";
      return html`<article class="panel funnel" key=${funnel} data-funnel=${funnel}>
        <h2>${funnelName(funnel)} <a class="aside" href=${addressOf(place, { page: "trends", funnel })} onClick=${go(funnel)}>${t("funnels.show")}</a></h2>
        <div class="bar" aria-hidden="true"><div class="left" style=${{ width: row ? `${100 * row.value}%` : "0" }}></div></div>
        <p class="detail">${(row ? t("funnels.left", { share: percent(row.value), n: count(row.numerator), all: count(row.n) }) : t(model.isFresh(place.segment) ? "funnels.none" : "figure.stale")) + more}</p>
        <ol class="steps">${exits.slice(0, MOST_STEPS).map((exit) => html`<li key=${exit.step}>
          <span class="share" aria-hidden="true" style=${{ width: `${(100 * exit.abandoned) / all}%` }}></span>
          <span class="step">${exit.step || t("funnels.nostep")}</span><span class="n">${percent(exit.abandoned / all)} <small>${count(exit.abandoned)}</small></span></li>`)}</ol>
      </article>`;
    })}</div>
  </section>`;
}
