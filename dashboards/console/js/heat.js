// Store by hour: the darker a cell, the worse that hour was for what the table is sorted by.

import { get } from "./api.js";
import { clock, count, now, segmentName } from "./format.js";
import { lookOf, t } from "./i18n.js";
import { Loaded } from "./loaded.js";
import { then } from "./place.js";
import { html, Pure } from "./ui.js";

const HOUR_MS = 3_600_000;
const HOURS = 24;
const EVERY_MS = 300_000;
const FEW = 5; // of fewer customers a cell is only hinted at

export function Heat({ column, shown, state, better }) {
  const { place, status, model } = state;
  const ask = (signal) => get("/api/v1/signals/hours", { signal: column.signal, dimension: "store_id", ...then(place) }, signal);
  const until = Math.floor((model.asOf ?? now()) / HOUR_MS) * HOUR_MS;
  return html`<h2 id="heat-title">${t("stores.heat", { name: column.name })}</h2>
    <${Loaded} what=${column.signal + place.at} ask=${ask} everyMs=${EVERY_MS} isPaused=${status.paused || place.at}>${(found) => html`
      <${Cells} rows=${found?.rows ?? null} names=${shown.join("\n")} until=${until} text=${column.text} better=${better} look=${lookOf(state)} />`}<//>`;
}

class Cells extends Pure {
  shouldComponentUpdate(next) {
    return ["rows", "names", "until", "better", "look"].some((name) => next[name] !== this.props[name]);
  }

  render({ rows, names, until, text, better }) {
    const known = new Map((rows ?? []).map(({ segment, hours }) => [segment, new Map(hours.map(([end, value, n]) => [Date.parse(end), { value, n }]))]));
    const values = [...known.values()].flatMap((hours) => [...hours.values()].filter(({ n }) => n >= FEW).map(({ value }) => value));
    const low = values.reduce((a, b) => Math.min(a, b), Infinity);
    const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    const worse = ({ value }) => (high > low ? Math.min(1, Math.max(0, (better === "low" ? value - low : high - value) / (high - low))) : 0);
    const ends = Array.from({ length: HOURS }, (_, at) => until - (HOURS - 1 - at) * HOUR_MS);
    return html`<div id="heat" class="panel wide" role="region" aria-labelledby="heat-title" tabindex="0"><table>
      <thead><tr><th scope="col">${t("stores.store")}</th>${ends.map((end) => html`<th key=${end} scope="col">${clock(end - HOUR_MS).slice(0, 2)}</th>`)}</tr></thead>
      <tbody>${names.split("\n").filter(Boolean).map((name) => html`<tr key=${name}><th scope="row">${segmentName(name)}</th>${ends.map((end) => {
        const cell = known.get(name)?.get(end);
        if (!cell) return html`<td key=${end}></td>`;
        const share = Math.round(100 * worse(cell) * Math.min(1, cell.n / FEW));
        const title = `${text(cell.value)}, ${t("figure.n", { n: count(cell.n) })}, ${clock(end - HOUR_MS)}–${clock(end)}`;
        return html`<td key=${end} title=${title} style=${{ backgroundColor: `color-mix(in srgb, var(--heat) ${share}%, transparent)` }}><span class="hidden">${text(cell.value)}</span></td>`;
      })}</tr>`)}</tbody></table></div>`;
  }
}
