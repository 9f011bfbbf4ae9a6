// Alerts as they come, fire and are over, with what explains them.

import { keepFocus, make, setText } from "./dom.js";
import { ago, moment, now as clock, segmentName } from "./format.js";

const STATUS = { firing: "Firing", pending: "Pending", resolved: "Over" };
const LATELY_MS = 6 * 3_600_000;

export class Alerts {
  constructor(root, announce, pick) {
    Object.assign(this, { root, announce, pick, statuses: null });
  }

  show(model) {
    if (model.alerts === null) {
      setText(this.root, "Not known yet.");
      return;
    }
    const now = model.asOf ?? clock();
    const open = model.alerts.filter((alert) => alert.status !== "resolved");
    const over = model.alerts.filter((alert) => alert.status === "resolved" && now - Date.parse(alert.resolved_at) < LATELY_MS);
    open.sort((a, b) => (a.status === b.status ? 0 : a.status === "firing" ? -1 : 1));
    const shown = JSON.stringify([open, over, Math.round(now / 60_000)]);
    if (shown === this.shown) return;
    this.shown = shown;
    const past = over.length
      ? make("details", { open: this.root.querySelector("details")?.open ?? false }, make("summary", {}, `${over.length} over in the last six hours`), ...over.map((alert) => this.#card(alert, now)))
      : null;
    const none = open.length ? null : make("p.note", {}, "No open alerts.");
    keepFocus(this.root, () => this.root.replaceChildren(...[none, ...open.map((alert) => this.#card(alert, now)), past].filter(Boolean)));
    this.#tell(model.alerts);
  }

  #card(alert, now) {
    const button = make("button.link", { type: "button", "data-key": alert.alert_id, onclick: () => this.pick(alert) }, `Look at ${segmentName(alert.segment)}`);
    const times = alert.status === "resolved"
      ? `${moment(Date.parse(alert.opened_at))} to ${moment(Date.parse(alert.resolved_at))}`
      : `since ${moment(Date.parse(alert.opened_at))}, ${ago(now - Date.parse(alert.opened_at))}`;
    return make("article.alert", { "data-status": alert.status, "data-severity": alert.severity, "data-alert": alert.alert_id },
      make("h3", {}, make("span.badge", {}, STATUS[alert.status] ?? alert.status), ` ${alert.rule}, ${segmentName(alert.segment)} `, make("span.severity", {}, `(${alert.severity})`)),
      make("p.explanation", {}, alert.explanation), make("p.detail", {}, `${times}. `, button));
  }

  /** What has changed, for those who hear the page. */
  #tell(alerts) {
    const statuses = new Map(alerts.map((alert) => [alert.alert_id, alert.status]));
    const changed = this.statuses ? alerts.filter((alert) => alert.status !== "pending" && this.statuses.get(alert.alert_id) !== alert.status) : [];
    if (changed.length) setText(this.announce, changed.map((alert) => `${STATUS[alert.status]}: ${alert.explanation}`).join(" "));
    this.statuses = statuses;
  }
}
