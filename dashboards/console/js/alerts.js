// Alerts: the last week as a timeline, those that are open, and one of them with what stands behind it.

import { get, getAll } from "./api.js";
import { Chart } from "./chart.js";
import { askedBy, describe, expectedOf, ofAlert } from "./describe.js";
import { ago, count, day, moment, money, now, percent, segmentName } from "./format.js";
import { lookOf, t } from "./i18n.js";
import { Loaded } from "./loaded.js";
import { addressOf } from "./place.js";
import { sentence } from "./sentence.js";
import { Table } from "./table.js";
import { html } from "./ui.js";

const WEEK_MS = 7 * 86_400_000;
const DAY_MS = 86_400_000;
const SHORT_MS = 2 * DAY_MS; // of what is older short windows may be gone
const AROUND_MS = 3_600_000; // before it began, in its course

export function Alerts({ state, actions }) {
  const { model, place, status } = state;
  const until = timeOf(state);
  const ask = (signal) => getAll("/api/v1/alerts", { from: new Date(until - 2 * WEEK_MS).toISOString(), to: new Date(until + 1).toISOString() }, undefined, signal);
  return html`<${Loaded} what=${`alerts ${place.at}`} ask=${ask} isPaused=${status.paused}>${(found) => {
    const alerts = together(found ?? [], model.alerts ?? [], model.past);
    if (place.alert) return html`<${One} alert=${alerts.find((alert) => alert.alert_id === place.alert)} isKnown=${found !== null} state=${state} actions=${actions} />`;
    return html`<${All} alerts=${alerts} isKnown=${found !== null || model.alerts !== null} until=${until} state=${state} actions=${actions} />`;
  }}<//>`;
}

/** The moment that is looked at, ms. */
const timeOf = ({ model, place }) => (place.at ? Date.parse(place.at) : (model.asOf ?? now()));

/** Of the week, with what the stream has told since; of the past as they stood then. */
function together(listed, live, past) {
  const then = past === null ? listed : listed.filter(({ opened_at: at }) => Date.parse(at) <= past).map((alert) => (alert.resolved_at && Date.parse(alert.resolved_at) > past ? { ...alert, status: "firing", resolved_at: null } : alert));
  const byId = new Map([...then, ...live].sort((a, b) => a.version - b.version).map((alert) => [alert.alert_id, alert]));
  return [...byId.values()].sort((a, b) => b.opened_at.localeCompare(a.opened_at));
}

function All({ alerts, isKnown, until, state, actions }) {
  const open = alerts.filter((alert) => alert.status !== "resolved").sort((a, b) => rank(a) - rank(b));
  const over = alerts.filter((alert) => alert.status === "resolved" && Date.parse(alert.resolved_at) > until - WEEK_MS);
  const card = (alert) => html`<${Card} key=${alert.alert_id} alert=${alert} state=${state} actions=${actions} />`;
  return html`<div class="stack">
    <section id="alerts-panel" aria-labelledby="alerts-title"><h1 id="alerts-title">${t("alerts.open")}</h1>
      <div id="alerts">${open.length ? open.map(card) : html`<p class="note">${t(isKnown ? "alerts.none" : "alerts.unknown")}</p>`}</div></section>
    <section aria-labelledby="week-title"><h2 id="week-title">${t("alerts.week")}</h2><${Week} alerts=${alerts} until=${until} state=${state} actions=${actions} /></section>
    <section aria-labelledby="over-title"><h2 id="over-title">${t("alerts.over")}</h2>
      ${over.length ? over.map(card) : html`<p class="note">${t("alerts.none.over")}</p>`}</section>
  </div>`;
}

const rank = (alert) => (alert.status === "firing" ? 0 : 1);

const look = (alert, actions) => (event) => {
  event.preventDefault();
  actions.choose({ page: "alerts", alert: alert.alert_id });
};

function Card({ alert, state: { model, place }, actions }) {
  return html`<article class="panel alert" data-status=${alert.status} data-severity=${alert.severity} data-alert=${alert.alert_id}>
    <h3><span class="badge">${t(`alerts.status.${alert.status}`)}</span> <a href=${addressOf(place, { page: "alerts", alert: alert.alert_id })} onClick=${look(alert, actions)}>${sentence(alert, model.config)}</a></h3>
    <p class="explanation">${alert.explanation}</p>
    <p class="detail">${timesOf(alert, model)}</p>
  </article>`;
}

function timesOf(alert, { past }) {
  const opened = Date.parse(alert.opened_at);
  if (alert.status === "resolved") return t("alerts.span", { from: moment(opened), to: moment(Date.parse(alert.resolved_at)) });
  return t("alerts.since", { time: moment(opened), ago: ago((past ?? now()) - opened) });
}

/** A week as a strip for each rule: when it fired, and for how long. */
function Week({ alerts, until, state, actions }) {
  const from = until - WEEK_MS;
  const at = (ms) => `${(100 * Math.min(Math.max(ms - from, 0), WEEK_MS)) / WEEK_MS}%`;
  const rules = [...new Set(alerts.map(({ rule }) => rule))].sort();
  const days = Array.from({ length: 7 }, (_, number) => until - (7 - number) * DAY_MS);
  return html`<div class="panel week">
    ${rules.map((rule) => html`<div class="lane" key=${rule}><span class="name">${rule}</span><div class="strip">
      ${alerts.filter((alert) => alert.rule === rule).map((alert) => {
        const [begin, end] = [Date.parse(alert.opened_at), alert.resolved_at ? Date.parse(alert.resolved_at) : until];
        return html`<a key=${alert.alert_id} data-status=${alert.status} href=${addressOf(state.place, { page: "alerts", alert: alert.alert_id })} onClick=${look(alert, actions)}
          title=${sentence(alert, state.model.config)} aria-label=${sentence(alert, state.model.config)} style=${{ left: at(begin), width: `max(6px, ${(100 * (end - begin)) / WEEK_MS}%)` }}></a>`;
      })}</div></div>`)}
    <div class="lane axis" aria-hidden="true"><span class="name"></span><div class="strip">${days.map((ms) => html`<span key=${ms} style=${{ left: at(ms) }}>${day(ms)}</span>`)}</div></div>
  </div>`;
}

function One({ alert, isKnown, state, actions }) {
  const { model, place, theme } = state;
  const back = html`<p><a href=${addressOf(place, { alert: "" })} data-page="alerts">← ${t("alerts.back")}</a></p>`;
  if (!alert) return html`<section>${back}<p class="note">${t(isKnown ? "alerts.gone" : "alerts.unknown")}</p></section>`;
  const figure = describe(alert.signal, model.config);
  const value = (x) => ofAlert(figure, x, alert.n);
  const here = timeOf(state);
  const [opened, ended] = [Date.parse(alert.opened_at), alert.resolved_at ? Date.parse(alert.resolved_at) : here];
  const asOf = Math.min(ended + (alert.resolved_at ? AROUND_MS : 0), here);
  const window = here - opened > SHORT_MS || figure?.kind === "moment_rate" ? "15m" : "5m"; // of moments there are no shorter ones
  const facts = [
    [t("alerts.observed"), value(alert.observed)],
    [t("alerts.expected"), value(alert.expected)],
    ...(alert.missing === null ? [] : [[t("alerts.missing"), count(alert.missing)]]),
    ...(alert.at_stake === null ? [] : [[t("alerts.stake"), money(alert.currency)(alert.at_stake)]]),
    [t("alerts.rule"), `${alert.rule} (${alert.severity})`],
  ];
  const config = model.config;
  return html`<section class="stack" id="alert" data-status=${alert.status} aria-labelledby="alert-title">
    ${back}
    <div><h1 id="alert-title"><span class="badge">${t(`alerts.status.${alert.status}`)}</span> ${sentence(alert, config)}</h1>
      <p class="explanation">${alert.explanation}</p><p class="detail">${timesOf(alert, model)}</p></div>
    <dl class="panel facts">${facts.map(([name, text]) => html`<div key=${name}><dt>${name}</dt><dd>${text}</dd></div>`)}</dl>
    ${alert.causes.length > 0 && html`<div class="panel"><h2>${t("alerts.causes")}</h2><ol class="steps causes">${alert.causes.map(([where, share]) => html`<li key=${where}>
      <span class="share" aria-hidden="true" style=${{ width: `${100 * Math.min(1, Math.max(0, share))}%` }}></span>
      <span class="step">${segmentName(where)}</span><span class="n">${t("alerts.causes.share", { share: percent(share) })}</span></li>`)}</ol></div>`}
    ${figure && html`<${Chart} key=${alert.alert_id} title=${`${t("alerts.course")}: ${figure.name}`} signal=${alert.signal} segments=${[alert.segment]} window=${window} theme=${theme} look=${lookOf(state)} model=${null} isPaused=${alert.status === "resolved" || place.at}
      asOf=${asOf} span=${asOf - opened + AROUND_MS} text=${figure.text} band=${true} level=${expectedOf(figure, alert)} levelFrom=${opened} />`}
    ${figure?.funnel && html`<${Journeys} alert=${alert} funnel=${figure.funnel} from=${opened} until=${ended} state=${state} />`}
    ${figure && config.rules[alert.rule] && html`<p class="note">${t("alerts.asks.title", { rule: alert.rule })} ${askedBy(config.rules[alert.rule], figure)}</p>`}
    <p><button type="button" onClick=${() => actions.choose({ page: "overview", segment: alert.segment, alert: "" })}>${t("alerts.look", { segment: segmentName(alert.segment) })}</button>
      ${config.grafana && html` <a href=${`${config.grafana}/d/cx-live?from=${opened - AROUND_MS}&to=${asOf}`}>${t("alerts.grafana")}</a>`}</p>
  </section>`;
}

const MOST_JOURNEYS = 20;
const OF_JOURNEYS = ["channel", "store_id", "region", "device"];

/** Journeys of its funnel, and of the part that explains it, that were entered meanwhile and given up. */
function Journeys({ alert, funnel, from, until, state: { model, place, status } }) {
  const [where, share] = alert.causes[0] ?? ["", 0];
  const parts = [...(alert.segment === "all" ? [] : alert.segment.split("|")), ...(share >= 0.5 ? where.split("|") : [])].map((part) => part.split("="));
  const of = Object.fromEntries(parts.filter(([name]) => OF_JOURNEYS.includes(name)).map(([name, value]) => [name, decodeURIComponent(value)]));
  const asked = { funnel, outcome: "abandoned", from: new Date(from).toISOString(), to: new Date(until).toISOString(), limit: MOST_JOURNEYS, ...of };
  const ask = (signal) => get("/api/v1/journeys", asked, signal);
  return html`<section aria-labelledby="cost-title"><h2 id="cost-title">${t("alerts.journeys")}</h2>
    <${Loaded} what=${JSON.stringify([alert.alert_id, of, place.at])} ask=${ask} isPaused=${status.paused || alert.status === "resolved"}>${(found) => {
      if (!found?.rows.length) return html`<p class="note">${t(found ? "alerts.journeys.none" : "load.waiting")}</p>`;
      const cells = (row) => [segmentName(`channel=${row.channel}`), row.store_id || "–", row.device || "–", row.last_step || "–", row.value ? money(model.config.currency)(row.value) : "–"];
      return html`<${Table} id="cost" label="cost-title" head=${["entered", "channel", "store", "device", "step", "value"].map((name) => t(`alerts.journeys.${name}`))}
        rows=${found.rows.map((row) => ({ key: row.journey_id, name: moment(Date.parse(row.entered_at)), cells: cells(row) }))} />`;
    }}<//></section>`;
}
