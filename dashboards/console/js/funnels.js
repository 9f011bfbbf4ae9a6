// Each funnel: how its journeys ended, and where those who gave up had come to.

import { get, getAll } from "./api.js";
import { funnelName } from "./describe.js";
import { count, percent, segmentName } from "./format.js";
import { t } from "./i18n.js";
import { Loaded } from "./loaded.js";
import { addressOf, then } from "./place.js";
import { SegmentPicker } from "./segments.js";
import { html } from "./ui.js";

const MOST_STEPS = 6;
const EVERY_MS = 10_000;

export function Funnels({ state, actions }) {
  const { model, place, status } = state;
  const window = model.window ?? place.window;
  const ask = (signal) => Promise.all([
    get("/api/v1/funnels", { segment: place.compare, window, ...then(place) }, signal),
    getAll("/api/v1/signals", { segment: place.compare, window, ...then(place) }, undefined, signal),
  ]);
  return html`<section aria-labelledby="funnels-title">
    <div class="head"><h1 id="funnels-title">${t("funnels.title")}</h1>
      <${SegmentPicker} id="compare" label=${t("funnels.compare")} none=${t("funnels.compare.none")} segment=${place.compare} changed=${(compare) => actions.choose({ compare })} isOn=${true} /></div>
    ${place.compare
      ? html`<${Loaded} what=${`${place.compare} ${window} ${place.at}`} ask=${ask} everyMs=${EVERY_MS} isPaused=${status.paused || place.at}>${(found) => html`<${Cards} state=${state} actions=${actions} other=${found} />`}<//>`
      : html`<${Cards} state=${state} actions=${actions} other=${null} />`}
  </section>`;
}

function Cards({ state: { model, place }, actions, other }) {
  const known = new Map(model.funnels.map((one) => [one.funnel, one]));
  const theirs = new Map((other?.[0].rows ?? []).map((one) => [one.funnel, one]));
  const rows = new Map((other?.[1] ?? []).map((row) => [row.signal, { ...row, n: row.denominator }]));
  const go = (funnel) => (event) => {
    event.preventDefault();
    event.stopPropagation();
    actions.choose({ page: "trends", funnel });
  };
  return html`<div id="funnels" class="cards">${model.config.funnels.map((funnel) => {
      const row = model.now(place.segment, `${funnel}_abandonment`);
      return html`<article class="panel funnel" key=${funnel} data-funnel=${funnel}>
        <h2>${funnelName(funnel)} <a class="aside" href=${addressOf(place, { page: "trends", funnel })} onClick=${go(funnel)}>${t("funnels.show")}</a></h2>
        <${Side} name=${place.compare && segmentName(place.segment)} row=${row} ended=${known.get(funnel)} isFresh=${model.isFresh(place.segment)} />
        ${other && html`<${Side} name=${segmentName(place.compare)} row=${rows.get(`${funnel}_abandonment`)} ended=${theirs.get(funnel)} isFresh=${true} />`}
      </article>`;
    })}</div>`;
}

/** How the journeys of one segment ended. */
function Side({ name, row, ended, isFresh }) {
  const { exits = [], abandoned: all = 0, emptied = 0 } = ended ?? {};
  const more = emptied ? t("funnels.emptied", { n: count(emptied) }) : "";
  const text = row ? t("funnels.left", { share: percent(row.value), n: count(row.numerator), all: count(row.n) }) : t(isFresh ? "funnels.none" : "figure.stale");
  return html`<div class="side">
    ${name && html`<h3>${name}</h3>`}
    <div class="bar" data-empty=${String(!row)} aria-hidden="true"><div class="left" style=${{ width: row ? `${100 * row.value}%` : "0" }}></div></div>
    <p class="detail">${text + more}</p>
    <ol class="steps">${exits.slice(0, MOST_STEPS).map((exit) => html`<li key=${exit.step}>
      <span class="share" aria-hidden="true" style=${{ width: `${(100 * exit.abandoned) / all}%` }}></span>
      <span class="step">${exit.step || t("funnels.nostep")}</span><span class="n">${percent(exit.abandoned / all)} <small>${count(exit.abandoned)}</small></span></li>`)}</ol>
  </div>`;
}
