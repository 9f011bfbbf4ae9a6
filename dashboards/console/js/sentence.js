// How things are, in one sentence, from the alerts alone.

import { clock, money, segmentName } from "./format.js";
import { known, t } from "./i18n.js";
import { funnelName, ruleOf } from "./describe.js";

const MAIN_CAUSE = 0.5; // what explains less does not go into the sentence

/** The alert that matters most: by money, else the one that has been open for longest. */
export function worst(alerts) {
  return [...alerts].sort((a, b) => (b.at_stake ?? 0) - (a.at_stake ?? 0) || a.opened_at.localeCompare(b.opened_at))[0];
}

/** `Checkout on web, mobile, at payment, is failing since 14:31, 4,085 EUR at stake`. */
export function sentence(alert, config) {
  const { kind = "other", funnel, better } = config.signals[alert.signal] ?? {};
  const name = known(`what.${kind}`) ? `what.${kind}` : "what.other";
  const what = t(name, { funnel: funnel ? funnelName(funnel) : "", signal: alert.signal, rule: ruleOf(alert.signal) });
  const isUp = alert.n > 0 ? alert.observed > alert.expected : better !== "high";
  const verb = kind === "completion_ratio" ? "completion_ratio" : isUp ? "high" : "low";
  const text = t(alert.status === "resolved" ? "sentence.failed" : "sentence.failing", { what, where: whereOf(alert), verb: t(`sentence.${alert.status === "resolved" ? "past" : "verb"}.${verb}`), time: clock(Date.parse(alert.opened_at)) });
  const stake = alert.at_stake === null ? "" : t("sentence.stake", { money: money(alert.currency)(alert.at_stake) });
  return text.replace(/ +/g, " ") + stake;
}

/** Its segment, and the part of it that explains most. */
function whereOf({ segment, causes }) {
  const parts = segment === "all" ? [] : segment.split("|");
  const [where, share] = causes[0] ?? ["", 0];
  const cause = share >= MAIN_CAUSE ? where.split("|").filter(Boolean) : [];
  const step = cause.find((part) => part.startsWith("step="));
  const places = [...new Set([...parts, ...cause.filter((part) => part !== step)])];
  const name = segmentName(places.join("|"));
  if (step && !places.length) return t("sentence.step", { step: segmentName(step) });
  if (step) return t("sentence.where.step", { where: name, step: segmentName(step) });
  return places.length ? t("sentence.where", { where: name }) : "";
}
