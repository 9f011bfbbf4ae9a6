// Lines over time, one for each segment, or one with its interval. Drawn by uPlot.

import { get } from "./api.js";
import { clock, day, segmentName, STEP_MS } from "./format.js";
import { known, t } from "./i18n.js";
import { Component, html } from "./ui.js";

export const CHANNELS = ["channel=web", "channel=app", "channel=pos"];
const library = () => import("../vendor/uplot/uPlot.esm.js"); // only pages with charts need it
const DASHES = { "channel=app": [8, 4], "channel=pos": [2, 3] };
const LEAST_GAP_MS = 180_000; // rows are loaded by the minute, and stored some time after their end
const MOST_MISSING = 6; // steps: a longer gap is shown as one
const AGAIN_MS = 60_000; // rows of the past may change for as long as events may be late
const RETRY_MS = 5_000;
const HEIGHT = 190;

export class Chart extends Component {
  constructor() {
    super();
    this.points = new Map(); // by segment, by end of the window
    this.loadedAt = null;
  }

  componentDidMount() {
    this.observer = new ResizeObserver(() => this.plot && this.frame && this.plot.width !== this.#width() && this.plot.setSize({ width: this.#width(), height: HEIGHT }));
    this.observer.observe(this.frame);
    library().then(({ default: uPlot }) => {
      this.uPlot = uPlot;
      if (this.frame) this.#build();
      this.#draw();
    });
    this.#load();
    this.timer = setInterval(() => document.hidden || this.props.isPaused || this.#load(), AGAIN_MS);
  }

  componentDidUpdate(before) {
    const { signal, segments, window, theme, look } = this.props;
    if (before.signal !== signal || String(before.segments) !== String(segments) || before.window !== window) {
      this.points = new Map();
      this.loadedAt = null;
      this.#build();
    } else if (before.theme !== theme || before.look !== look) this.#build();
    if (this.#isBehind()) this.#load();
    this.#draw();
  }

  /** Whether what is loaded is not of the time that is looked at: at first, after a pause, in the past. */
  #isBehind() {
    const { asOf, isPaused } = this.props;
    if (asOf === null || asOf === this.loadedAt) return false;
    return this.loadedAt === null || isPaused || Math.abs(asOf - this.loadedAt) > 2 * AGAIN_MS;
  }

  componentWillUnmount() {
    clearInterval(this.timer);
    clearTimeout(this.again);
    this.observer.disconnect();
    this.abort?.abort();
    this.plot?.destroy();
    this.plot = null;
  }

  async #load() {
    const { signal, segments, window, span, asOf } = this.props;
    if (asOf === null) return;
    clearTimeout(this.again);
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    this.loadedAt = asOf;
    const [from, to] = [asOf - span, asOf + 1].map((at) => new Date(at).toISOString());
    try {
      const found = await Promise.all(segments.map(async (segment) => [segment, await history({ signal, segment, window, from, to }, abort.signal)]));
      if (abort !== this.abort) return;
      this.points = new Map(found);
      this.#draw();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.again = setTimeout(() => this.#load(), RETRY_MS);
    }
  }

  /** What is loaded, and the window that is filling at its end. */
  #rows(segment) {
    const points = new Map(this.points.get(segment) ?? []);
    const now = this.props.model?.now(segment, this.props.signal);
    if (now && now.end <= this.props.asOf) points.set(now.end, now);
    return points;
  }

  #draw() {
    const { asOf, span, segments, window, band, column = "value", level, levelFrom = 0 } = this.props;
    if (!this.plot || asOf === null) return;
    const rows = segments.map((segment) => this.#rows(segment));
    const shown = JSON.stringify([asOf, span, level, rows.map((points) => [points.size, [...points].at(-1)])]);
    if (shown === this.shown) return;
    this.shown = shown;
    const longest = Math.max(MOST_MISSING * STEP_MS[window], LEAST_GAP_MS);
    const ends = [...new Set(rows.flatMap((points) => [...points.keys()]))].filter((end) => end >= asOf - span && end <= asOf);
    const x = withGaps(ends.sort((a, b) => a - b), longest);
    const columns = rows.flatMap((points) => {
      const of = (name) => gapped(x.map((end) => points.get(end)?.[name]), x, longest);
      return band ? [of("lower"), of("upper"), of("value")] : [of(column)];
    });
    if (level !== undefined) columns.push(x.map((end) => (end >= levelFrom ? level : null)));
    this.plot.setData([x.map((end) => end / 1_000), ...columns], false);
    this.plot.setScale("x", { min: (asOf - span) / 1_000, max: asOf / 1_000 });
    const latest = rows.map((points) => {
      const last = [...points.keys()].filter((end) => end <= asOf && end > asOf - longest);
      return last.length ? this.props.text(points.get(Math.max(...last))[column]) : t("trends.none");
    });
    if (String(latest) !== String(this.state.latest)) this.setState({ latest });
  }

  #build() {
    if (!this.uPlot) return;
    const { segments, band, text, level } = this.props;
    this.plot?.destroy();
    this.shown = null;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { stroke: colour("--grid"), width: 1 } };
    const series = segments.flatMap((segment) => {
      const line = { stroke: colour(lineOf(segment)), width: 2, dash: DASHES[segment] ?? [], spanGaps: false, points: { show: false } };
      const edge = { stroke: "transparent", spanGaps: false, points: { show: false } };
      return band ? [edge, edge, line] : [line];
    });
    if (level !== undefined) series.push({ stroke: colour("--muted"), width: 1.5, dash: [4, 4], spanGaps: true, points: { show: false } });
    this.plot = new this.uPlot({
      width: this.#width(),
      height: HEIGHT,
      series: [{}, ...series],
      bands: band ? [{ series: [2, 1], fill: colour("--band") }] : [],
      axes: [{ ...axis, values: times }, { ...axis, size: 64, values: (_, ticks) => ticks.map(text) }],
      scales: { x: { time: true, auto: false }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(0, (high ?? 1) * 1.08) || 1] } },
      legend: { show: false },
      cursor: { y: false },
    }, [[], ...series.map(() => [])], this.frame);
  }

  #width() {
    return Math.max(200, this.frame.clientWidth);
  }

  render({ title, segments, signal, level, text }, { latest = [] }) {
    const names = segments.map((segment) => known(segment.replace("=", ".")) ?? segmentName(segment));
    return html`<article class="panel chart">
      <h2>${title}</h2>
      <ul class="legend">${segments.map((segment, at) => html`<li key=${segment}><span class="swatch" data-line=${lineOf(segment)} aria-hidden="true"></span>${names[at]} <b>${latest[at] ?? ""}</b></li>`)}
        ${level !== undefined && html`<li><span class="swatch" data-line="level" aria-hidden="true"></span>${t("alerts.expected")} <b>${text(level)}</b></li>`}</ul>
      <div class="plot" role="img" aria-label=${`${title}, ${signal}: ${names.map((name, at) => `${name} ${latest[at] ?? ""}`).join(", ")}`} ref=${(element) => (this.frame = element)}></div>
    </article>`;
  }
}

/** Times as everywhere on the page; where a day begins, the day. */
function times(_, ticks) {
  return ticks.map((seconds, number) => {
    const isNewDay = number > 0 && day(1_000 * seconds) !== day(1_000 * ticks[number - 1]);
    return isNewDay ? `${clock(1_000 * seconds)}\n${day(1_000 * seconds)}` : clock(1_000 * seconds);
  });
}

/** The colour of a line, as a name of the style sheet. */
const lineOf = (segment) => `--line-${CHANNELS.includes(segment) ? CHANNELS.indexOf(segment) + 1 : 4}`;

async function history(asked, abort) {
  const points = new Map();
  let cursor = null;
  do {
    const page = await get("/api/v1/signals/history", { ...asked, limit: 1_000, ...(cursor ? { cursor } : {}) }, abort);
    for (const row of page.rows) points.set(Date.parse(row.window_end), row);
    cursor = page.next;
  } while (cursor);
  return points;
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
