// What each signal is called, how its value reads, and which belong together.

import { ago, count, money, number, percent, title, WINDOW_MS } from "./format.js";
import { known, t } from "./i18n.js";

const HOUR_MS = 3_600_000;
const SCALES = { share: [0, 1], ratio: [0, 2], score: [-100, 100], points: [1, 7], money: [0, Infinity], per_1000: [0, Infinity] };
const SEVERAL = ["moment_rate", "abandonment", "nowcast", "completion_ratio", "net_abandonment", "value_abandoned", "value_recovered_7d"];

export const funnelName = (funnel) => known(`funnel.${funnel}`) ?? title(funnel);

/** The rule of moments that a signal is of. */
export const ruleOf = (signal) => signal.replace(/_moment_rate$/, "").replaceAll("_", "-");

/** Name, hint, texts and range of a signal; null where the shop has none of that name. */
export function describe(signal, { signals, currency }) {
  const own = signals[signal];
  if (!own) return null;
  const { kind, funnel, unit } = own;
  const isMoney = unit === "money";
  const text = { share: percent, ratio: percent, score: number(0), points: number(2), money: money(currency), per_1000: number(1) }[unit];
  const values = { funnel: funnel ? funnelName(funnel) : "", signal, rule: ruleOf(signal) };
  const name = SEVERAL.includes(kind) || known(`figure.${kind}`) ? t(`figure.${kind}`, values) : signal;
  return { signal, kind, funnel, unit, name, hint: known(`figure.${kind}.hint`) ?? "", text, isMoney, range: SCALES[unit] };
}

/** What an alert has counted, as its signal reads: detection takes all of them as shares of 0 to 1. */
export function ofAlert(figure, counted, n) {
  if (figure?.kind === "completion_ratio") return count(counted);
  if (!n || !figure) return "–"; // told before that was kept
  return figure.text(onScale(figure, counted / n));
}

const onScale = ({ unit }, share) => ({ score: 200 * share - 100, points: 7 * share, per_1000: 1_000 * share })[unit] ?? share;

/** The value that was expected, where its signal has one to be drawn at. */
export function expectedOf(figure, { expected, n }) {
  if (figure.kind === "completion_ratio") return 1;
  return n ? onScale(figure, expected / n) : undefined;
}

/** What a rule asks for, in a sentence. */
export function askedBy(rule, figure) {
  const windows = rule.windows_s.map((seconds) => ago(1_000 * seconds)).join(", ");
  const values = { windows, least: count(rule.least), lasting: ago(1_000 * rule.for_s), one: count(1 / rule.false_rate) };
  if (figure.kind === "completion_ratio") return t("alerts.asks.ratio", { ...values, change: percent(rule.change) });
  if (figure.kind === "moment_rate") return t("alerts.asks.rate", { ...values, change: number(1)(1_000 * rule.change) });
  const change = { score: number(0)(200 * rule.change), points: number(2)(7 * rule.change) }[figure.unit] ?? number(1)(100 * rule.change);
  return t("alerts.asks", { ...values, change });
}

/** The figures of the first screen: of each part the leading one and the others. */
export function partsOf(config) {
  const { funnels, tillFunnels } = config;
  const online = funnels.filter((funnel) => !tillFunnels.includes(funnel));
  const bought = funnels.filter((funnel) => config.signals[`${funnel}_net_abandonment`]);
  const withMoney = [...new Set([...bought, ...funnels.filter((funnel) => !["search", "form", "support", "queue"].includes(funnel))])];
  const parts = {
    satisfaction: ["csat", "nps", "ces", "friction"],
    online: ["checkout_abandonment", "checkout_completion_ratio", "checkout_nowcast", ...online.map((funnel) => `${funnel}_abandonment`)],
    stores: [...tillFunnels].sort((a, b) => (b === "queue") - (a === "queue")).map((funnel) => `${funnel}_abandonment`),
    money: ["checkout_value_abandoned", ...withMoney.map((funnel) => `${funnel}_value_abandoned`), "checkout_net_abandonment", "checkout_value_recovered_7d"],
  };
  return Object.entries(parts)
    .map(([id, signals]) => [id, [...new Set(signals)].map((signal) => describe(signal, config)).filter(Boolean)])
    .filter(([, figures]) => figures.length);
}

/** What a row says in a sentence: the interval and n, or that there is nothing. */
export function detailOf(figure, row, isFresh, window) {
  if (!row) return t(isFresh ? "figure.nothing" : "figure.stale");
  const { text, isMoney, kind } = figure;
  if (isMoney) return t("figure.each", { n: count(row.n), value: text(row.value), window: t(`window.${window}`) });
  // Answers that all agree make no interval of a mean.
  const interval = row.lower === row.upper ? "" : t("figure.interval", { lower: text(row.lower), upper: text(row.upper) });
  return interval + t(kind === "completion_ratio" ? "figure.expected" : "figure.n", { n: count(row.n) });
}

/** What is usual, in a sentence. */
export function usualOf(figure, usual, hoursWithEvents, window) {
  if (figure.kind === "completion_ratio") return "";
  if (!usual) return t("figure.usual.unknown");
  const hours = Math.max(usual.hours, hoursWithEvents ?? 0); // in some hours nothing was left: they count as well
  const value = figure.isMoney ? (usual.value * usual.n * (WINDOW_MS[window] / HOUR_MS)) / hours : usual.value;
  return t("figure.usual", { value: figure.text(value), basis: t(`figure.usual.${usual.basis}`, { n: usual.hours }), n: count(usual.n) });
}

/** The value that is shown: of money the sum, of all else the value itself. */
export const shownOf = (figure, row, isFresh) =>
  row ? figure.text(figure.isMoney ? row.numerator : row.value) : figure.isMoney && isFresh ? figure.text(0) : t("figure.none");

/** Whether an open alert is about a figure: of the segment that is looked at, of a part of it, or of more than it. */
export function isMarked(figure, segment, firing) {
  return firing.some((alert) => {
    const isAbout = alert.signal === figure.signal || (figure.kind === "abandonment" && alert.signal === `${figure.funnel}_completion_ratio`);
    return isAbout && overlap(alert.segment, segment);
  });
}

/** Whether customers can be in both segments: no dimension says otherwise. */
function overlap(one, other) {
  const values = (segment) => new Map(segment === "all" ? [] : segment.split("|").map((part) => part.split("=")));
  const theirs = values(other);
  return [...values(one)].every(([name, value]) => (theirs.get(name) ?? value) === value);
}
