// Numbers, times and segments as people read them.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const plain = new Map();

function decimals(digits) {
  if (!plain.has(digits)) {
    plain.set(digits, new Intl.NumberFormat(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  }
  return plain.get(digits);
}

export const count = (x) => whole.format(x);
export const percent = (x) => `${decimals(1).format(100 * x)} %`;
export const number = (digits) => (x) => decimals(digits).format(x);
export const money = (currency) => (x) => `${whole.format(x)} ${currency}`;

const clockTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayTime = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
});

let aheadMs = 0;

/** The worker's clock, whatever the one of this machine says. */
export const now = () => Date.now() + aheadMs;
export function setNow(ms) {
  aheadMs = ms - Date.now();
}

/** Today only the time, else the day as well. */
export function moment(ms) {
  return Math.abs(now() - ms) < 12 * 3_600_000 ? clockTime.format(ms) : dayTime.format(ms);
}

export function ago(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** `channel=web|device=mobile` → `web, mobile`. */
export function segmentName(segment) {
  if (segment === "all") return "everything";
  try {
    return segment.split("|").map((part) => decodeURIComponent(part.slice(part.indexOf("=") + 1))).join(", ");
  } catch {
    return segment; // not a segment as they are written
  }
}

export const WINDOW_NAMES = { "1m": "minute", "5m": "5 minutes", "15m": "15 minutes", "1h": "hour" };
export const WINDOW_MS = { "1m": 60_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000 };
export const STEP_MS = { "1m": 10_000, "5m": 60_000, "15m": 300_000, "1h": 600_000 };

/** A name of the settings as a heading: `click_and_collect` is "Click and collect". */
export function title(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
