// Numbers, times and segments as people of the chosen language read them.

import { known, spoken, t } from "./i18n.js";

const made = new Map();
let zone; // undefined: the viewer's
let aheadMs = 0;

/** Intl objects are dear: each is made once. */
function format(kind, options) {
  const key = JSON.stringify([kind, spoken(), zone, options]);
  if (!made.has(key)) made.set(key, new Intl[kind](spoken(), options));
  return made.get(key);
}

const decimals = (digits) => format("NumberFormat", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const at = (options) => format("DateTimeFormat", { timeZone: zone, ...options });

/** `name`: of the IANA database; empty: the viewer's own. */
export function setZone(name) {
  zone = name || undefined;
  try {
    at({ hour: "2-digit" }); // newer zones are not known to every browser
  } catch {
    zone = undefined;
  }
}

export const count = (x) => decimals(0).format(x);
export const percent = (x) => `${decimals(1).format(100 * x)} %`;
/** A difference of two shares. */
export const points = (x) => format("NumberFormat", { minimumFractionDigits: 1, maximumFractionDigits: 1, signDisplay: "exceptZero" }).format(100 * x);
export const number = (digits) => (x) => decimals(digits).format(x);
export const money = (currency) => (x) => `${decimals(0).format(x)} ${currency}`;

/** The worker's clock, whatever the one of this machine says. */
export const now = () => Date.now() + aheadMs;
export function setNow(ms) {
  aheadMs = ms - Date.now();
}

export const clock = (ms) => at({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(ms);
export const day = (ms) => at({ weekday: "short", month: "short", day: "numeric" }).format(ms);

/** Today only the time, else the day as well. */
export function moment(ms) {
  const time = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  const isNear = Math.abs(now() - ms) < 12 * 3_600_000;
  return at(isNear ? time : { ...time, second: undefined, year: "numeric", month: "short", day: "numeric" }).format(ms);
}

const UNITS = [[86_400, 172_800, "days"], [3_600, 7_200, "hours"], [60, 120, "minutes"], [1, 0, "seconds"]];

/** A length of time in its largest unit that it has at least two of. */
export function ago(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [unit, , name] = UNITS.find(([, least]) => seconds >= least);
  return t(`time.${name}`, { n: count(seconds / unit) });
}

/** `channel=web|device=mobile` → `web, mobile`. */
export function segmentName(segment) {
  if (segment === "all") return t("segment.all");
  try {
    const name = (part) => known(part.replace("=", ".")) ?? decodeURIComponent(part.slice(part.indexOf("=") + 1));
    return segment.split("|").map(name).join(t("segment.and"));
  } catch {
    return segment; // not a segment as they are written
  }
}

export const WINDOWS = ["1m", "5m", "15m", "1h"];
export const WINDOW_MS = { "1m": 60_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000 };
export const STEP_MS = { "1m": 10_000, "5m": 60_000, "15m": 300_000, "1h": 600_000 };

/** A name of the settings as a heading: `click_and_collect` is "Click and collect". */
export function title(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
