// Lines over time, each channel by itself, and the nowcast with its interval. Drawn by uPlot.

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { get } from "./api.js";
import { make, setAttribute, setText } from "./dom.js";
import { count, now, percent, segmentName, STEP_MS } from "./format.js";

const SPAN_MS = { "1m": 3_600_000, "5m": 3_600_000, "15m": 6 * 3_600_000, "1h": 24 * 3_600_000 };
const CHANNELS = ["channel=web", "channel=app", "channel=pos"];
const DASHES = { "channel=web": [], "channel=app": [8, 4], "channel=pos": [2, 3] };
const NAMES = { "channel=web": "web", "channel=app": "app", "channel=pos": "till" };
const RETRY_MS = 5_000;
const MOST_MISSING = 6; // steps: a longer gap is shown as one
const AGAIN_MS = 300_000; // rows of the past may change for as long as events may be late

export class Charts {
  constructor(root, pickFunnel, isPaused) {
    this.isPaused = isPaused;
    this.select = make("select", { "aria-label": "Funnel of the charts", onchange: () => pickFunnel(this.select.value) });
    this.lines = [
      new Chart(root, "Satisfied (CSAT)", percent, {}),
      new Chart(root, "Abandonment", percent, { control: this.select }),
      new Chart(root, "Nowcast", percent, { band: true }),
      new Chart(root, "Value abandoned", count, { column: "numerator" }),
    ];
    setInterval(() => this.load(), AGAIN_MS);
    document.addEventListener("visibilitychange", () => document.hidden || this.load());
  }

  /** Look at something else. The first frame of another view has its past fetched; of the same one that is due now. */
  async look(view, funnel, config, isSameView) {
    this.view = view;
    if (!this.select.options.length) this.select.append(...config.funnels.map((name) => make("option", { value: name }, name)));
    this.select.value = funnel;
    const channels = CHANNELS.includes(view.segment) || view.segment === "all" ? CHANNELS : [view.segment, ...CHANNELS];
    const [csat, left, nowcast, value] = this.lines;
    csat.look("csat", channels, "Satisfied (CSAT)");
    left.look(`${funnel}_abandonment`, channels, "Abandonment of:");
    nowcast.look(`${funnel}_nowcast`, [view.segment], `${funnel}, begun now: nowcast, ${segmentName(view.segment)}`);
    value.look(`${funnel}_value_abandoned`, channels, `${funnel}: value abandoned, ${config.currency}`);
    if (isSameView) await this.load();
  }

  async load() {
    if (!this.view || this.isPaused()) return;
    clearTimeout(this.again);
    this.loading?.abort();
    const loading = (this.loading = new AbortController());
    const from = new Date((this.asOf ?? now()) - SPAN_MS[this.view.window]).toISOString();
    await Promise.all(this.lines.map((chart) => chart.load(this.view.window, from, loading.signal))).catch((error) => {
      if (error.name === "AbortError") return;
      console.info("the past could not be loaded, trying again:", error.message);
      this.again = setTimeout(() => this.load(), RETRY_MS);
    });
  }

  take(rows, asOf, isWhole) {
    this.asOf = asOf;
    if (isWhole && asOf !== null) this.load(); // what came while nobody listened
    for (const chart of this.lines) chart.take(rows);
  }

  show() {
    if (!this.view) return;
    for (const chart of this.lines) chart.show(this.asOf, SPAN_MS[this.view.window], STEP_MS[this.view.window]);
  }

  themed() {
    for (const chart of this.lines) chart.themed();
  }
}

/** A time in the middle of each gap, so that there is somewhere for a line to break. */
function withGaps(times, longest) {
  return times.flatMap((at, number) => (number && at - times[number - 1] > longest ? [(at + times[number - 1]) / 2, at] : [at]));
}

/** undefined is drawn over, null breaks the line: where a series has nothing for longer than that. */
function gapped(values, times, longest) {
  let last = null;
  return values.map((value, at) => {
    if (value !== undefined) last = times[at];
    return value === undefined && (last === null || times[at] - last > longest / 2) ? null : value;
  });
}

class Chart {
  constructor(root, title, text, { control = null, band = false, column = "value" }) {
    Object.assign(this, { text, band, column, points: new Map(), filling: new Map(), segments: [], isDirty: true });
    this.title = make("h3", {}, title);
    this.legend = make("ul.legend");
    this.frame = make("div.plot", { role: "img" });
    root.append(make("article.chart", {}, make("div.head", {}, this.title, control), this.legend, this.frame));
    new ResizeObserver(() => this.#resize()).observe(this.frame);
  }

  look(signal, segments, title) {
    Object.assign(this, { signal, segments, points: new Map(segments.map((segment) => [segment, new Map()])), filling: new Map(), isDirty: true });
    setText(this.title, title);
    this.#build();
  }

  async load(window, from, abort) {
    const { signal, segments } = this;
    await Promise.all(segments.map(async (segment) => {
      let cursor = null;
      do {
        const more = cursor ? { cursor } : {};
        const page = await get("/api/v1/signals/history", { signal, segment, window, from, limit: 1_000, ...more }, abort);
        if (this.signal !== signal) return;
        for (const row of page.rows) this.#put(segment, Date.parse(row.window_end), row);
        cursor = page.next;
      } while (cursor);
    }));
    this.isDirty = true;
  }

  /** A window that is filling is one point, at the end of its line; it moves on with the present. */
  take(rows) {
    for (const row of rows) {
      if (row.signal === this.signal && this.points.has(row.segment)) {
        const filling = this.filling.get(row.segment);
        if (filling !== undefined && filling < row.end) this.points.get(row.segment).delete(filling);
        if (!row.complete) this.filling.set(row.segment, row.end);
        else if (row.end === filling) this.filling.delete(row.segment);
        this.#put(row.segment, row.end, row);
        this.isDirty = true;
      }
    }
  }

  #put(segment, end, row) {
    const points = this.points.get(segment);
    if (!points) return;
    if ((row.n ?? row.denominator) > 0) points.set(end, row);
    else points.delete(end);
  }

  themed() {
    if (this.signal) this.#build();
  }

  show(asOf, span, step) {
    if (!this.isDirty || !this.plot || asOf === null) return;
    this.isDirty = false;
    const times = new Set();
    for (const points of this.points.values()) {
      for (const end of points.keys()) {
        if (end < asOf - span - 60_000) points.delete(end);
        else if (end <= asOf) times.add(end);
      }
    }
    const x = withGaps([...times].sort((a, b) => a - b), MOST_MISSING * step);
    const columns = this.segments.flatMap((segment) => {
      const points = this.points.get(segment);
      const of = (name) => gapped(x.map((end) => points.get(end)?.[name]), x, MOST_MISSING * step);
      return this.band ? [of("lower"), of("upper"), of("value")] : [of(this.column)];
    });
    this.plot.setData([x.map((end) => end / 1_000), ...columns], false);
    this.plot.setScale("x", { min: (asOf - span) / 1_000, max: asOf / 1_000 });
    this.#describe(asOf, MOST_MISSING * step);
  }

  /** The legend, and the same for those who hear the page. */
  #describe(asOf, longest) {
    const latest = this.segments.map((segment, at) => {
      const points = this.points.get(segment);
      const ends = [...points.keys()].filter((end) => end <= asOf && end > asOf - longest);
      const last = ends.length ? points.get(Math.max(...ends)) : null;
      const text = last ? this.text(last[this.column]) : "no data";
      setText(this.values[at], text);
      return `${NAMES[segment] ?? segmentName(segment)} ${text}`;
    });
    setAttribute(this.frame, "aria-label", `${this.title.textContent} ${this.signal}: now ${latest.join(", ")}`);
  }

  #build() {
    this.plot?.destroy();
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const lines = ["--line-1", "--line-2", "--line-3", "--line-4"].map(colour);
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { stroke: colour("--grid"), width: 1 } };
    const colourOf = (segment) => (CHANNELS.includes(segment) ? lines[CHANNELS.indexOf(segment)] : lines[3]);
    const series = this.segments.flatMap((segment) => {
      const line = { stroke: colourOf(segment), width: 2, dash: DASHES[segment] ?? [], spanGaps: false, points: { show: false } };
      const edge = { stroke: "transparent", spanGaps: false, points: { show: false } };
      return this.band ? [edge, edge, line] : [line];
    });
    this.values = this.segments.map(() => make("b"));
    this.legend.replaceChildren(...this.segments.map((segment, at) => {
      const mark = make("span.swatch", { "aria-hidden": "true" });
      mark.style.borderTopColor = colourOf(segment);
      mark.style.borderTopStyle = { 8: "dashed", 2: "dotted" }[(DASHES[segment] ?? [])[0]] ?? "solid";
      return make("li", {}, mark, `${NAMES[segment] ?? segmentName(segment)} `, this.values[at]);
    }));
    const options = {
      ...this.#size(),
      series: [{}, ...series],
      bands: this.band ? [{ series: [2, 1], fill: colour("--band") }] : [],
      axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => this.text(tick)) }],
      scales: { x: { time: true, auto: false }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), (high ?? 1) * 1.08 || 1] } },
      legend: { show: false },
      cursor: { y: false },
    };
    this.frame.replaceChildren();
    this.plot = new uPlot(options, [[], ...series.map(() => [])], this.frame);
    this.isDirty = true;
  }

  #size() {
    return { width: Math.max(200, this.frame.clientWidth), height: 190 };
  }

  #resize() {
    const size = this.#size();
    if (this.plot && this.plot.width !== size.width) this.plot.setSize(size);
  }
}
