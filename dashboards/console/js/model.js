// What the page knows: the newest rows of the chosen segment, of the channels and of the stores.

import { STEP_MS } from "./format.js";

const BUCKET_MS = 10_000; // what is happening now is counted by buckets of ten seconds
const LAG_MS = 120_000; // so long after its end a window is complete at the latest, where all goes well

export class Model {
  constructor() {
    this.forget();
    this.alerts = null; // not known yet
    this.eventsUntil = null;
    this.vitals = null;
    this.rate = null; // records a second
    this.isConfigured = false;
    this.config = { currency: "", funnels: [], tillFunnels: [], places: {}, dimensions: [], hasShop: false, signals: {}, timeZone: "", grafana: "", rules: {} };
  }

  /** Another segment or window or time is looked at. */
  forget() {
    this.asOf = null;
    this.past = null; // the moment that is looked at, ms; null: the present
    this.known = false;
    this.newest = new Map(); // by segment, by signal
    this.usual = {};
    this.funnels = [];
    this.window = null; // that the rows are of
  }

  /** Take a frame of rows; gives them as objects. */
  takeRows(frame) {
    if (frame.whole) this.newest.clear();
    this.asOf = frame.as_of;
    this.eventsUntil = frame.events_until;
    this.window = frame.window;
    this.step = STEP_MS[frame.window];
    this.known = true;
    return frame.rows.map(([signal, segment, end, numerator, n, value, lower, upper, complete]) => {
      const row = { signal, segment, end, numerator, n, value, lower, upper, complete };
      let signals = this.newest.get(segment);
      if (!signals) this.newest.set(segment, (signals = new Map()));
      const held = signals.get(signal);
      if (!held || held.end <= end) signals.set(signal, row);
      return row;
    });
  }

  /** It is the past: what is newest then stands for it. */
  takePast(atMs) {
    this.past = atMs;
    if (this.asOf !== null) this.asOf = atMs;
  }

  takeVitals(vitals) {
    const before = this.vitals;
    this.vitals = vitals;
    if (!before || vitals.events < before.events || vitals.now <= before.now) {
      this.rate = null;
      return;
    }
    const rate = (1_000 * (vitals.events - before.events)) / (vitals.now - before.now);
    this.rate = this.rate === null ? rate : 0.7 * this.rate + 0.3 * rate;
  }

  get openAlerts() {
    return (this.alerts ?? []).filter((alert) => alert.status !== "resolved");
  }

  get firing() {
    return this.openAlerts.filter((alert) => alert.status === "firing");
  }

  /** The row that stands for now; null where there is none of late. */
  now(segment, signal) {
    const row = this.newest.get(segment)?.get(signal);
    if (!row || row.n <= 0 || this.asOf === null) return null;
    if (this.past !== null) return row; // the server has seen to it that none is older
    const oldest = this.asOf - (this.config.signals[signal]?.by_age ? 2 * this.step + LAG_MS : 2 * BUCKET_MS);
    return row.end > oldest ? row : null;
  }

  /** Which way is good: "high" or "low". */
  better(signal) {
    return this.config.signals[signal]?.better ?? "low";
  }

  /** Whether anything at all of the segment is up to date: only then a missing signal means that there was none. */
  isFresh(segment) {
    return this.now(segment, "friction") !== null;
  }

  segments(prefix) {
    return [...this.newest.keys()].filter((name) => name.startsWith(prefix) && !name.includes("|"));
  }
}
