// How the pipeline is, and whether what is shown is the present.

import { make, setAttribute, setText } from "./dom.js";
import { ago, count, moment, now, number } from "./format.js";

const BEHIND_RECORDS = 2_000;
const APART_MS = 600_000;
const STILL_MS = 90_000; // newest windows are at most a minute apart
const OLD_MS = 600_000;

export class Health {
  constructor(root) {
    this.values = new Map();
    this.root = root;
    this.before = null;
    this.rate = null;
  }

  show(vitals) {
    if (!vitals || vitals === this.before) return;
    if (this.before && vitals.events >= this.before.events && vitals.now > this.before.now) {
      const rate = (1_000 * (vitals.events - this.before.events)) / (vitals.now - this.before.now);
      this.rate = this.rate === null ? rate : 0.7 * this.rate + 0.3 * rate;
    } else {
      this.rate = null;
    }
    this.before = vitals;
    this.#put("Records a second", this.rate === null ? "–" : number(this.rate < 10 ? 1 : 0)(this.rate));
    this.#put("Records waiting", count(vitals.lag));
    this.#put("Slowest partition", vitals.watermarks ? `${ago(vitals.now - vitals.watermarks[0])} behind` : "none");
    this.#put("Rows to be stored", count(vitals.waiting));
    this.#put("Dead letters", count(vitals.dead_letters));
    this.#put("Failed inserts", count(vitals.sink_errors));
    this.#put("Oldest checkpoint", vitals.checkpoint ? `${ago(vitals.now - vitals.checkpoint)} ago` : "none");
  }

  #put(name, text) {
    if (!this.values.has(name)) {
      const value = make("dd");
      this.root.append(make("div", {}, make("dt", {}, name), value));
      this.values.set(name, value);
    }
    setText(this.values.get(name), text);
  }
}

const WORTH_SAYING = ["lost", "trouble", "still"];

/** One line that says how far what is shown can be trusted to be the present. */
export class Status {
  constructor(root, text, announce) {
    Object.assign(this, { root, text, announce, connection: "starting", paused: false, trouble: null, lostAt: null });
    this.movedAt = now();
    this.lostAt = now();
    this.asOf = null;
  }

  connected(state, why = "") {
    if (state === "lost" && this.connection === "open") this.lostAt = now();
    this.connection = state;
    this.why = why;
  }

  show(model) {
    if (model.asOf !== this.asOf) {
      this.asOf = model.asOf;
      this.movedAt = now();
    }
    const [state, text] = this.#state(model);
    const before = this.root.dataset.state;
    if (before !== state && before !== "starting" && (WORTH_SAYING.includes(state) || WORTH_SAYING.includes(before))) setText(this.announce, text);
    setAttribute(this.root, "data-state", state);
    setText(this.text, text);
    document.body.classList.toggle("stale", [...WORTH_SAYING, "paused"].includes(state));
  }

  #state({ asOf, eventsUntil, known, vitals }) {
    const upTo = asOf === null ? "" : `, data up to ${moment(Math.min(asOf, now()))}`;
    if (this.connection === "locked") return ["lost", "A token is needed"];
    if (this.paused) return ["paused", `Paused${upTo}`];
    if (this.connection === "refused") return ["lost", `Refused, trying again: ${this.why}${upTo}`];
    if (this.connection === "lost") return ["lost", `Connection lost ${ago(now() - this.lostAt)} ago, trying again${upTo}`];
    if (this.trouble) return ["trouble", `The store does not answer${upTo}. ${this.trouble}`];
    if (!known) return ["starting", "Connecting …"];
    const isMoving = now() - this.movedAt < STILL_MS;
    if (vitals && isBehind(vitals) && isMoving) return ["behind", `Catching up, ${count(vitals.lag)} records to go${upTo}`];
    if (asOf === null) return ["empty", "Waiting for the first events"];
    // A long window goes on having rows after the last event: the shortest one tells when that was.
    const silent = now() - (eventsUntil ?? asOf);
    if (silent > OLD_MS) return ["still", `Not live: the newest event is of ${moment(eventsUntil ?? asOf)}`];
    if (silent > STILL_MS || !isMoving) return ["still", `No new events for ${ago(Math.max(silent, now() - this.movedAt))}${upTo}`];
    return ["live", `Live${upTo}`];
  }
}

function isBehind({ lag, watermarks, now: at }) {
  return lag > BEHIND_RECORDS && watermarks !== null && (watermarks[1] - watermarks[0] > APART_MS || at - watermarks[1] > APART_MS);
}
