// How far what is shown can be trusted to be the present.

import { ago, count, moment, now } from "./format.js";
import { t } from "./i18n.js";

const BEHIND_RECORDS = 2_000;
const APART_MS = 600_000;
const STILL_MS = 90_000; // newest windows are at most a minute apart
const OLD_MS = 600_000;
/** What is shown then is not the present. */
export const STALE = ["lost", "trouble", "still", "paused"];

export class Status {
  constructor() {
    Object.assign(this, { connection: "starting", why: "", paused: false, past: null, window: "5m", isLooking: false, trouble: null, asOf: null, state: "starting" });
    this.movedAt = this.lostAt = now();
  }

  connected(connection, why = "") {
    if (connection === "lost" && this.connection === "open") this.lostAt = now();
    this.connection = connection;
    this.why = why;
  }

  /** Of a moment of the past there is nothing to wait for. */
  pastState(asOf) {
    const at = moment(this.past);
    if (this.trouble) return ["trouble", t("status.trouble", { why: this.trouble, upTo: "" })];
    if (this.isLooking) return ["starting", t("status.connecting")];
    return ["past", t(asOf === null ? "status.past.none" : "status.past", { at, window: t(`window.${this.window}`) })];
  }

  look(model) {
    this.window = model.window ?? this.window;
    if (model.asOf !== this.asOf) {
      this.asOf = model.asOf;
      this.movedAt = now();
    }
    [this.state, this.text] = this.#of(model);
  }

  #of({ asOf, eventsUntil, known, vitals }) {
    const upTo = asOf === null ? "" : t("status.upTo", { at: moment(Math.min(asOf, now())) });
    if (this.past !== null) return this.pastState(asOf);
    if (this.connection === "locked") return ["lost", t("status.locked")];
    if (this.paused) return ["paused", t("status.paused", { upTo })];
    if (this.connection === "refused") return ["lost", t("status.refused", { why: this.why, upTo })];
    if (this.connection === "lost") return ["lost", t("status.lost", { ago: ago(now() - this.lostAt), upTo })];
    if (this.trouble) return ["trouble", t("status.trouble", { why: this.trouble, upTo })];
    if (!known) return ["starting", t("status.connecting")];
    const isMoving = now() - this.movedAt < STILL_MS;
    if (vitals && isBehind(vitals) && isMoving) return ["behind", t("status.behind", { lag: count(vitals.lag), upTo })];
    if (asOf === null) return ["empty", t("status.empty")];
    // A long window goes on having rows after the last event: the shortest one tells when that was.
    const silent = now() - (eventsUntil ?? asOf);
    if (silent > OLD_MS) return ["still", t("status.old", { at: moment(eventsUntil ?? asOf) })];
    if (silent > STILL_MS || !isMoving) return ["still", t("status.still", { ago: ago(Math.max(silent, now() - this.movedAt)), upTo })];
    return ["live", t("status.live", { upTo })];
  }
}

function isBehind({ lag, watermarks, now: at }) {
  return lag > BEHIND_RECORDS && watermarks !== null && (watermarks[1] - watermarks[0] > APART_MS || at - watermarks[1] > APART_MS);
}
