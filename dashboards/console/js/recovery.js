// Who came back for what was left: of journeys of somebody known, over the last seven days. None of these is lost
// yet: that takes seven days.

import { get } from "./api.js";
import { funnelName } from "./describe.js";
import { ago, count, money, now, number, percent, points } from "./format.js";
import { known, t } from "./i18n.js";
import { Loaded } from "./loaded.js";
import { then } from "./place.js";
import { Table } from "./table.js";
import { html } from "./ui.js";

const tenths = number(1);
const HEAD = ["net", "abandoned", "known", "elsewhere", "came", "other", "after", "recovered", "open"];

export function Recovery({ state: { model, place, status } }) {
  const ask = (signal) => get("/api/v1/recoveries", { segment: place.segment, ...then(place) }, signal);
  return html`<section id="recovery-panel" aria-labelledby="recovery-title">
    <h1 id="recovery-title">${t("recovery.title")}</h1>
    <${Loaded} what=${place.segment + place.at} ask=${ask} isPaused=${status.paused || place.at}>${(found) => {
      const rows = (found?.rows ?? []).filter((row) => row.abandoned > 0);
      if (found && !rows.length) return html`<p class="note">${t("recovery.none")}</p>`;
      const cells = (row) => cellsOf(row, model.now(place.segment, `${row.funnel}_net_abandonment`), model.config.currency);
      return html`<${Table} id="recovery" label="recovery-title" head=${["", ...HEAD.map((name) => t(`recovery.${name}`))]}
        rows=${rows.map((row) => ({ key: row.funnel, attributes: { "data-funnel": row.funnel }, name: funnelName(row.funnel), cells: cells(row) }))} />`;
    }}<//>
    <p class="note">${t("recovery.note")}</p>
    <${Moments} place=${place} status=${status} />
  </section>`;
}

/** How often rules about single customers have fired; never whom. */
function Moments({ place, status }) {
  const ask = (signal) => get("/api/v1/moments", { segment: place.segment, ...then(place) }, signal);
  return html`<h2 id="moments-title">${t("moments.title")}</h2>
    <${Loaded} what=${`moments ${place.segment} ${place.at}`} ask=${ask} isPaused=${status.paused || place.at}>${(found) => {
      if (found && !found.rows.length) return html`<p class="note">${t("moments.none")}</p>`;
      const until = place.at ? Date.parse(place.at) : now();
      return html`<${Table} id="moments" label="moments-title" head=${["", ...["fired", "newest", "hours", "rate"].map((name) => t(`moments.${name}`))]}
        rows=${(found?.rows ?? []).map((row) => ({
          key: row.rule, attributes: { "data-rule": row.rule }, name: known(`moment.${row.rule}`) ?? (row.says || row.rule),
          cells: [count(row.fired), row.newest_at ? t("data.ago", { ago: ago(until - Date.parse(row.newest_at)) }) : "–", html`<${Hours} hours=${row.hours} />`, rateOf(row.rate)],
        }))} />
      <${Effects} rows=${(found?.rows ?? []).filter((row) => row.holdout > 0)} />`;
    }}<//>
    <p class="note">${t("moments.note")}</p>`;
}

/** Of rules with a holdout, whether who was told of bought more than who was not. */
function Effects({ rows }) {
  if (!rows.length) return null;
  const bought = (arm) => (arm.persons ? t("effects.of", { share: percent(arm.bought / arm.persons), n: count(arm.persons) }) : "–");
  const said = (one) => (one ? t("effects.between", { difference: points(one.difference), lower: points(one.lower), upper: points(one.upper) }) : "–");
  return html`<h2 id="effects-title">${t("effects.title")}</h2>
    <${Table} id="effects" label="effects-title" head=${["", ...["told", "held", "difference"].map((name) => t(`effects.${name}`))]}
      rows=${rows.map((row) => ({
        key: row.rule, attributes: { "data-rule": row.rule }, name: known(`moment.${row.rule}`) ?? (row.says || row.rule),
        cells: [bought(row.told), `${bought(row.held)} (${percent(row.holdout)})`, said(row.effect)],
      }))} />
    <p class="note">${t("effects.note")}</p>`;
}

const rateOf = (one) => (one ? t("moments.rate.value", { value: tenths(one.value), lower: tenths(one.lower), upper: tenths(one.upper) }) : "–");

function Hours({ hours }) {
  const most = Math.max(1, ...hours);
  return html`<span class="hours" role="img" aria-label=${hours.map(count).join(", ")}>${hours.map((n, at) => html`<i key=${at} style=${{ height: `${(100 * n) / most}%` }}></i>`)}</span>`;
}

function cellsOf(row, net, currency) {
  const of = (n, all) => (all ? `${count(n)} (${percent(n / all)})` : "–");
  const left = row.known - row.completed_elsewhere;
  return [
    net === null ? "–" : `${percent(net.value)} (n ${count(net.n)})`, count(row.abandoned), of(row.known, row.abandoned), of(row.completed_elsewhere, row.known),
    of(row.recovered, left), of(row.recovered_elsewhere, row.recovered), row.recovered ? ago(1_000 * row.median_s) : "–", money(currency)(row.value_recovered), count(row.open),
  ];
}
