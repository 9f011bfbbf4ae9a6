// A line of the last 24 hours, in front of the band of what is usual at each of them. Plain SVG: there are many.

import { html, Pure } from "./ui.js";

const DAY_MS = 86_400_000;
const WIDTH = 240;
const HOUR_MS = 3_600_000;

/** `day`: {points: [end, value, n], usual: [end, low, high]}; `low`, `high`: the scale; `until`: where it ends, ms. */
export class Spark extends Pure {
  render({ day, low, high, until, height = 40, now = null }) {
    const x = (at) => (WIDTH * (at - until + DAY_MS)) / DAY_MS;
    const y = (value) => height - 2 - ((height - 4) * (Math.min(Math.max(value, low), high) - low)) / (high - low || 1);
    const place = (at, value) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`;
    const line = within(day.points, until);
    const last = now === null ? line.at(-1) : [until, now]; // of the chosen window, not of an hour: not joined
    return html`<svg class="spark" viewBox=${`0 0 ${WIDTH} ${height}`} preserveAspectRatio="none" aria-hidden="true">
      ${runs(within(day.usual, until)).map((run) => html`<polygon class="band" points=${[...run.map(([at, , to]) => place(at, to)), ...run.toReversed().map(([at, from]) => place(at, from))].join(" ")} />`)}
      ${runs(line).map((run) => html`<polyline points=${run.map(([at, value]) => place(at, value)).join(" ")} />`)}
      ${last && html`<line class="last" x1=${x(last[0])} x2=${x(last[0])} y1=${y(last[1])} y2=${y(last[1])} />`}
    </svg>`;
  }
}

const within = (rows, until) => rows.map(([end, ...rest]) => [Date.parse(end), ...rest]).filter(([at]) => at > until - DAY_MS && at <= until);

/** Stretches without a gap: an hour without anything breaks the line. */
function runs(rows) {
  const found = [];
  for (const row of rows) {
    const run = found.at(-1);
    if (run && row[0] - run.at(-1)[0] < 1.5 * HOUR_MS) run.push(row);
    else found.push([row]);
  }
  return found;
}

/** The ends of a scale that holds all of these days and their bands, with nothing of it outside of `range`. */
export function scaleOf(days, [least, most], isFromZero = true) {
  const all = days.flatMap(({ points, usual }) => [...points.map(([, value]) => value), ...usual.flatMap(([, low, high]) => [low, high])]);
  if (!all.length) return { low: Number.isFinite(least) ? least : 0, high: Number.isFinite(most) ? most : 1 };
  const low = Math.min(...all, ...(isFromZero ? [0] : []));
  const high = Math.max(...all, ...(isFromZero ? [0] : []));
  const room = (high - low || 1) * 0.08;
  return { low: Math.max(low < 0 || !isFromZero ? low - room : low, least), high: Math.min(high + room, most) };
}
