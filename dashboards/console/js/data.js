// Where the data comes from and how far it is: sources of the collector, and this worker's part of the pipeline.

import { get } from "./api.js";
import { ago, clock, count, now, number, percent } from "./format.js";
import { known, t } from "./i18n.js";
import { Loaded } from "./loaded.js";
import { Table } from "./table.js";
import { html, Skeleton } from "./ui.js";

const SILENT_MS = 1_800_000;
const HEAD = ["kind", "mapped", "ignored", "invalid", "copies", "again", "late", "newest"];

export function Data({ state: { model, status } }) {
  const ask = (signal) => Promise.all(["sources", "completeness", "deadletters"].map((path) => get(`/api/v1/${path}`, {}, signal)));
  return html`<div class="stack">
    ${model.past !== null && html`<p class="note">${t("data.present")}</p>`}
    <${Loaded} what="data" ask=${ask} isPaused=${status.paused}>${(found) => (found ? html`<${Parts} found=${found.map(({ rows }) => rows)} model=${model} />` : html`<${Skeleton} />`)}<//>
  </div>`;
}

function Parts({ found: [sources, hours, letters], model: { vitals, rate } }) {
  return html`<section id="sources-panel" aria-labelledby="sources-title">
      <h1 id="sources-title">${t("data.sources")}</h1>
      ${sources.length
        ? html`<${Table} id="sources" label="sources-title" head=${["", ...HEAD.map((name) => t(`data.${name}`))]}
          rows=${sources.map((one) => ({ key: one.source, attributes: { "data-source": one.source }, name: one.source, cells: cellsOf(one) }))} />`
        : html`<p class="note">${t("data.sources.none")}</p>`}
    </section>
    <section aria-labelledby="day-title"><h2 id="day-title">${t("data.day")}</h2><p class="note">${t("data.day.note")}</p><${Day} rows=${hours} /></section>
    <section aria-labelledby="letters-title"><h2 id="letters-title">${t("data.letters.day")}</h2>
      ${letters.length
        ? html`<${Table} id="letters" label="letters-title" head=${["", ...LETTERS.map((name) => t(`data.letters.${name}`))]}
          rows=${letters.map((one) => ({ key: `${one.topic} ${one.reason}`, name: one.topic, cells: lettersOf(one) }))} />
          <p class="note">${t("data.letters.more")} <code>cx-signals deadletters list</code></p>`
        : html`<p class="note">${t("data.letters.none")}</p>`}
    </section>
    <section aria-labelledby="health-title"><h2 id="health-title">${t("data.pipeline")}</h2><${Health} vitals=${vitals} rate=${rate} /></section>`;
}

function cellsOf(one) {
  const all = one.mapped + one.ignored + one.invalid + one.copies + one.orders_again;
  const silent = now() - Date.parse(one.newest_at);
  const newest = one.mapped ? t(silent > SILENT_MS ? "data.silent" : "data.ago", { ago: ago(silent) }) : t("data.nothing");
  const invalid = one.invalid ? `${count(one.invalid)} (${percent(one.invalid / all)})` : "0";
  return [one.kind, count(one.mapped), count(one.ignored), invalid, count(one.copies), count(one.orders_again), count(one.too_late), newest];
}

const LETTERS = ["reason", "count", "bytes", "newest"];

function lettersOf({ reason, letters, bytes, newest_at: newest }) {
  return [known(`data.reason.${reason}`) ?? reason, count(letters), t("data.kilobytes", { n: number(1)(bytes / 1_000) }), t("data.ago", { ago: ago(now() - Date.parse(newest)) })];
}

/** An hour is a bar, as high as the share of its windows that hold all that happened. */
function Day({ rows }) {
  return html`<ol id="day" class="panel">${rows.map(({ until, windows, complete }) => {
    const [from, share] = [clock(Date.parse(until) - 3_600_000), complete / windows];
    const text = t("data.day.hour", { from, share: percent(share), n: count(complete), all: count(windows) });
    return html`<li key=${until} title=${text}><span class="bar" aria-hidden="true"><span class="full" style=${{ height: `${100 * share}%` }}></span></span><span aria-hidden="true">${from.slice(0, 2)}</span><span class="hidden">${text}</span></li>`;
  })}</ol>`;
}

function Health({ vitals, rate }) {
  if (!vitals) return null;
  const behind = (at) => t("data.behind", { ago: ago(vitals.now - at) });
  const figures = {
    rate: rate === null ? "–" : number(rate < 10 ? 1 : 0)(rate),
    lag: count(vitals.lag),
    watermark: vitals.watermarks ? behind(vitals.watermarks[0]) : t("data.nothing"),
    rows: count(vitals.waiting),
    letters: count(vitals.dead_letters),
    failed: count(vitals.sink_errors),
    checkpoint: vitals.checkpoint ? t("data.ago", { ago: ago(vitals.now - vitals.checkpoint) }) : t("data.nothing"),
  };
  return html`<dl id="health" class="panel">${Object.entries(figures).map(([name, text]) => html`<div key=${name}><dt>${t(`data.${name}`)}</dt><dd>${text}</dd></div>`)}</dl>`;
}
