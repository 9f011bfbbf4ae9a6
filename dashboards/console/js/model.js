// What the page knows: the newest rows of the chosen segment, of the channels and of the stores.

import { STEP_MS } from "./format.js";

const LAG_MS = 180_000; // a nowcast is told a step late, a completion ratio when the slowest source has passed
const LAGGING = /_(nowcast|completion_ratio)$/;

export class Model {
  constructor() {
    this.forget();
    this.alerts = null; // not known yet
    this.eventsUntil = null;
    this.vitals = null;
    this.config = { currency: "", funnels: [], dimensions: [], hasShop: false };
  }

  /** Another segment or window is looked at. */
  forget() {
    this.asOf = null;
    this.known = false;
    this.newest = new Map(); // by segment, by signal
    this.usual = {};
    this.funnels = [];
  }

  /** Take a frame of rows; gives them as objects. */
  takeRows(frame) {
    if (frame.whole) this.newest.clear();
    this.asOf = frame.as_of;
    this.eventsUntil = frame.events_until;
    this.step = STEP_MS[frame.window];
    this.known = true;
    return frame.rows.map(([signal, segment, end, numerator, n, value, lower, upper]) => {
      const row = { signal, segment, end, numerator, n, value, lower, upper };
      let signals = this.newest.get(segment);
      if (!signals) this.newest.set(segment, (signals = new Map()));
      const held = signals.get(signal);
      if (!held || held.end <= end) signals.set(signal, row);
      return row;
    });
  }

  /** The row that stands for now; null where there is none of late. */
  now(segment, signal) {
    const row = this.newest.get(segment)?.get(signal);
    if (!row || row.n <= 0 || this.asOf === null) return null;
    const oldest = this.asOf - (LAGGING.test(signal) ? LAG_MS : 2 * this.step);
    return row.end > oldest ? row : null;
  }

  /** Whether anything at all of the segment is up to date: only then a missing signal means that there was none. */
  isFresh(segment) {
    return this.now(segment, "friction") !== null;
  }

  segments(prefix) {
    return [...this.newest.keys()].filter((name) => name.startsWith(prefix) && !name.includes("|"));
  }
}
