// Each funnel: how its journeys ended, and step by step who came, went on and left; beside another segment or time.

import { get, getAll } from "./api.js";
import { funnelName } from "./describe.js";
import { ago, count, now, percent, segmentName } from "./format.js";
import { t } from "./i18n.js";
import { Loaded } from "./loaded.js";
import { addressOf, then } from "./place.js";
import { SegmentPicker } from "./segments.js";
import { html, Skeleton } from "./ui.js";

const MOST_STEPS = 8;
const MOST_NEXT = 2;
const EVERY_MS = 10_000;
const HOUR_MS = 3_600_000;
/** Earlier times to compare with, by how they stand in the address. */
const EARLIER = { "-1h": HOUR_MS, "-1d": 24 * HOUR_MS, "-7d": 168 * HOUR_MS };

export function Funnels({ state, actions }) {
  const { model, place, status } = state;
  const window = model.window ?? place.window;
  const before = EARLIER[place.compare];
  const other = () => (before
    ? { segment: place.segment, window, at: new Date((place.at ? Date.parse(place.at) : now()) - before).toISOString() }
    : { segment: place.compare, window, ...then(place) });
  const ask = (signal) => Promise.all([
    get("/api/v1/funnels/steps", { segment: place.segment, window, ...then(place) }, signal),
    ...(place.compare ? [get("/api/v1/funnels/steps", other(), signal), get("/api/v1/funnels", other(), signal), getAll("/api/v1/signals", other(), undefined, signal)] : []),
  ]);
  const earlier = Object.keys(EARLIER).map((name) => [name, t(`funnels.earlier.${name}`)]);
  return html`<section aria-labelledby="funnels-title">
    <div class="head"><h1 id="funnels-title">${t("funnels.title")}</h1>
      <${SegmentPicker} id="compare" label=${t("funnels.compare")} none=${t("funnels.compare.none")} first=${earlier} segment=${place.compare} changed=${(compare) => actions.choose({ compare })} isOn=${true} /></div>
    <${Loaded} what=${`${place.segment} ${place.compare} ${window} ${place.at}`} ask=${ask} everyMs=${EVERY_MS} isPaused=${status.paused || place.at}>${(found) => (found && model.asOf !== null ? html`<${Cards} state=${state} actions=${actions} found=${found} />` : html`<${Skeleton} />`)}<//>
  </section>`;
}

function Cards({ state: { model, place }, actions, found: [own, theirs, theirFunnels, theirRows] }) {
  const known = new Map(model.funnels.map((one) => [one.funnel, one]));
  const others = new Map((theirFunnels?.rows ?? []).map((one) => [one.funnel, one]));
  const rows = new Map((theirRows ?? []).map((row) => [row.signal, { ...row, n: row.denominator }]));
  const isEarlier = place.compare in EARLIER;
  const names = isEarlier ? [t("funnels.now"), t(`funnels.earlier.${place.compare}`)] : [segmentName(place.segment), segmentName(place.compare)];
  const go = (funnel) => (event) => {
    event.preventDefault();
    event.stopPropagation();
    actions.choose({ page: "trends", funnel });
  };
  return html`<div id="funnels" class="cards">${model.config.funnels.map((funnel) => {
      const row = model.now(place.segment, `${funnel}_abandonment`);
      return html`<article class="panel funnel" key=${funnel} data-funnel=${funnel}>
        <h2>${funnelName(funnel)} <a class="aside" href=${addressOf(place, { page: "trends", funnel })} onClick=${go(funnel)}>${t("funnels.show")}</a></h2>
        <${Side} name=${place.compare && names[0]} row=${row} emptied=${known.get(funnel)?.emptied} steps=${stepsOf(own, funnel)} isFresh=${model.isFresh(place.segment)} />
        ${theirs && html`<${Side} name=${names[1]} row=${rows.get(`${funnel}_abandonment`)} emptied=${others.get(funnel)?.emptied} steps=${stepsOf(theirs, funnel)} isFresh=${true} />`}
      </article>`;
    })}</div>`;
}

const stepsOf = (page, funnel) => (page?.rows ?? []).filter((one) => one.funnel === funnel);

/** How the journeys of one segment, or of one time, ended. */
function Side({ name, row, emptied, steps, isFresh }) {
  const more = emptied ? t("funnels.emptied", { n: count(emptied) }) : "";
  const text = row ? t("funnels.left", { share: percent(row.value), n: count(row.numerator), all: count(row.n) }) : t(isFresh ? "funnels.none" : "figure.stale");
  return html`<div class="side">
    ${name && html`<h3>${name}</h3>`}
    <div class="bar" data-empty=${String(!row)} aria-hidden="true"><div class="left" style=${{ transform: `scaleX(${row ? row.value : 0})` }}></div></div>
    <p class="detail">${text + more}</p>
    ${steps.length > 1 && html`<${Steps} steps=${steps} />`}
  </div>`;
}

/** A bar for each step: as long as those who came, its end those who left from it. */
function Steps({ steps }) {
  const all = steps.find(({ step }) => step === "")?.entered ?? 1;
  // Where all go on to a step the opening says nothing.
  const told = steps.filter(({ step, left, completed }) => step !== "" || left + completed > 0);
  const most = [...told].sort((a, b) => b.entered - a.entered).slice(0, MOST_STEPS);
  return html`<ol class="steps">${told.filter((one) => most.includes(one)).map((one) => html`<li key=${one.step} data-step=${one.step}>
    <div class="line"><span class="step">${one.step || t("funnels.opening")}</span>
      <span class="n">${count(one.entered)} <small>${one.left ? t("funnels.step.left", { share: percent(one.left / one.entered) }) : t("funnels.step.none")}${one.median_s === null ? "" : t("funnels.step.took", { time: ago(1_000 * one.median_s) })}</small></span></div>
    <div class="came" aria-hidden="true"><span class="off" style=${{ transform: `scaleX(${one.entered / all})` }}></span><span class="on" style=${{ transform: `scaleX(${(one.entered - one.left) / all})` }}></span></div>
    ${one.next.length > 0 && html`<small class="next">${t("funnels.step.next")} ${whereTo(one)}</small>`}
  </li>`)}</ol>`;
}

function whereTo({ entered, completed, next }) {
  const places = [...next.slice(0, MOST_NEXT), ...(completed ? [[t("funnels.step.done"), completed]] : [])];
  return places.map(([step, n]) => `${step} ${percent(n / entered)}`).join(", ");
}
