// The table of stores: worst first, each figure with its n, and the last hour as a line.

import { get } from "./api.js";
import { funnelName } from "./describe.js";
import { count, number, percent, segmentName } from "./format.js";
import { Heat } from "./heat.js";
import { known, t } from "./i18n.js";
import { Loaded } from "./loaded.js";
import { StoreMap } from "./map.js";
import { addressOf, then } from "./place.js";
import { Component, html, Pure } from "./ui.js";

const STANDARD = ["queue_abandonment", "basket_abandonment", "csat", "nps", "friction", "cart_abandonment", "checkout_abandonment"];
const OURS = ["search", "cart", "checkout", "form", "support", "queue", "basket"];
const SHOWN = 20;
const HOUR_MS = 3_600_000;
const EVERY_MS = 60_000;
const NONE = [];

/** What is shown of stores, with one for each funnel of the shop's own; none where stores are not told apart. */
export function storeSignals({ signals, funnels, dimensions }) {
  if (!dimensions.includes("store_id")) return [];
  const own = funnels.filter((funnel) => !OURS.includes(funnel)).map((funnel) => `${funnel}_abandonment`);
  return [...STANDARD, ...own].filter((signal) => signals[signal]);
}

function columnsOf(config) {
  const { signals } = config;
  return storeSignals(config).map((signal) => ({
    signal,
    name: known(`stores.column.${signal}`) ?? t("stores.column.other", { funnel: funnelName(signals[signal].funnel) }),
    text: signals[signal].unit === "score" ? number(0) : percent,
  }));
}

export class Stores extends Component {
  render({ state, actions }, { isAll = false }) {
    const { model, place, status } = state;
    const columns = columnsOf(model.config);
    const names = model.segments("store_id=");
    const used = columns.filter(({ signal }) => names.some((name) => model.now(name, signal)));
    const [by, direction] = place.sort.split(":");
    const column = used.find(({ signal }) => signal === by) ?? used[0];
    if (!column) return html`<section><h1>${t("stores.title")}</h1><p class="note">${t(!model.known ? "load.waiting" : model.past === null ? "stores.none" : "stores.none.past")}</p></section>`;
    const sorting = { by: by === "name" ? "name" : column.signal, direction: direction === "best" ? "best" : "worst" };
    const ranked = rank(names, model, sorting);
    const shown = isAll ? ranked : ranked.slice(0, SHOWN);
    const ask = (signal) => get("/api/v1/trends", { signal: column.signal, dimension: "store_id", window: model.window, ...then(place) }, signal);
    const pick = (segment) => actions.choose({ page: "overview", segment });
    return html`<section id="stores-panel" aria-labelledby="stores-title">
      <h1 id="stores-title">${t("stores.title")}</h1><p class="note">${t("stores.note")}</p>
      <${Loaded} what=${`${column.signal} ${model.window} ${place.at}`} ask=${ask} everyMs=${EVERY_MS} isPaused=${status.paused || place.at}>${(found) => {
        const until = found ? Date.parse(found.as_of) : 0;
        const lines = new Map((found?.rows ?? NONE).map((row) => [row.segment, row.points]));
        return html`<div id="stores" class="panel wide" role="region" aria-labelledby="stores-title" tabindex="0"><table>
          <${Head} columns=${used} column=${column} sorting=${sorting} better=${(signal) => model.better(signal)} sorted=${(sort) => actions.choose({ sort })} />
          <tbody>${shown.map((name) => html`<${Store} key=${name} name=${name} place=${addressOf(place, { page: "overview", segment: name })} pick=${pick}
            points=${lines.get(name) ?? NONE} until=${until} cells=${JSON.stringify(used.map((one) => cellOf(one, model.now(name, one.signal))))} />`)}</tbody></table></div>`;
      }}<//>
      <${StoreMap} state=${state} actions=${actions} column=${column} better=${model.better(column.signal)} />
      <${Heat} column=${column} shown=${shown} state=${state} better=${model.better(column.signal)} />
      ${ranked.length > SHOWN && html`<button type="button" id="stores-all" onClick=${() => this.setState({ isAll: !isAll })}>${t(isAll ? "stores.first" : "stores.all", { n: isAll ? SHOWN : ranked.length })}</button>`}
    </section>`;
  }
}

function Head({ columns, column, sorting, better, sorted }) {
  const head = (signal, name) => {
    const isSorted = sorting.by === signal;
    const isWorst = sorting.direction === "worst";
    const isUp = signal === "name" ? isWorst : (better(signal) === "low") !== isWorst;
    return html`<th key=${signal} scope="col" aria-sort=${isSorted ? (isUp ? "ascending" : "descending") : null} class=${signal === "name" ? null : "number"}>
      <button type="button" onClick=${() => sorted(`${signal}:${isSorted && isWorst ? "best" : "worst"}`)}>${name}<span aria-hidden="true">${isSorted ? (isWorst ? " ▾" : " ▴") : ""}</span></button></th>`;
  };
  return html`<thead><tr>${head("name", t("stores.store"))}${columns.map(({ signal, name }) => head(signal, name))}<th scope="col">${t("stores.trend", { name: column.name })}</th></tr></thead>`;
}

/** Texts of a cell: value, n, and what it says on demand. */
function cellOf({ text }, row) {
  if (!row) return ["–", "", t("figure.none")];
  return [text(row.value), count(row.n), `${t("figure.interval", { lower: text(row.lower), upper: text(row.upper) })}${t("figure.n", { n: count(row.n) })}`];
}

class Store extends Pure {
  shouldComponentUpdate(next) {
    return ["cells", "points", "until", "place"].some((name) => next[name] !== this.props[name]);
  }

  render({ name, place, pick, points, until, cells }) {
    const go = (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      pick(name);
    };
    return html`<tr data-store=${name}><th scope="row"><a href=${place} onClick=${go}>${segmentName(name)}</a></th>
      ${JSON.parse(cells).map(([text, n, title], at) => html`<td key=${at} class="number" title=${title}><span>${text}</span> <small>${n}</small></td>`)}
      <td><svg class="trend" viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true"><polyline points=${polyline(points, until)} /></svg></td></tr>`;
  }
}

/** By the end of the interval that is nearer to the harmless side. */
function rank(names, model, { by, direction }) {
  const isWorst = direction === "worst";
  if (by === "name") {
    const order = names.sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
    return isWorst ? order : order.reverse();
  }
  const isHigh = (model.better(by) === "low") === isWorst; // high values come first
  const score = (name) => {
    const row = model.now(name, by);
    if (!row) return -Infinity;
    return isHigh ? row.lower : -row.upper;
  };
  const scores = new Map(names.map((name) => [name, score(name)]));
  return names.sort((a, b) => scores.get(b) - scores.get(a) || (a < b ? -1 : 1));
}

function polyline(points, until) {
  if (points.length < 2) return "";
  const values = points.map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (at) => 100 * (1 - (until - Date.parse(at)) / HOUR_MS);
  const y = (value) => (high === low ? 10 : 18 - (16 * (value - low)) / (high - low));
  return points.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
}
