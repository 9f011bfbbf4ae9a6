// The frame of every page: where one is, what is looked at, how live it is.

import { Alerts } from "./alerts.js";
import { Data } from "./data.js";
import { segmentName, WINDOWS } from "./format.js";
import { Funnels } from "./funnels.js";
import { LANGUAGES, spoken, t } from "./i18n.js";
import { Overview } from "./overview.js";
import { addressOf, PAGES } from "./place.js";
import { Recovery } from "./recovery.js";
import { SegmentPicker } from "./segments.js";
import { sentence } from "./sentence.js";
import { STALE } from "./status.js";
import { Stores } from "./stores.js";
import { Timeline } from "./timeline.js";
import { Token } from "./token.js";
import { Trends } from "./trends.js";
import { classes, Component, html, Skeleton } from "./ui.js";

const VIEWS = { overview: Overview, alerts: Alerts, trends: Trends, funnels: Funnels, stores: Stores, recovery: Recovery, data: Data };

export class App extends Component {
  render({ state, actions }) {
    const { place, model, status } = state;
    const View = VIEWS[place.page];
    document.title = `${t(`page.${place.page}`)}, ${segmentName(place.segment)}, cx-signals`;
    // A link to another page is followed without loading anything anew.
    const follow = (event) => {
      const link = event.target.closest("a[data-page]");
      if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      actions.choose({ page: link.dataset.page, alert: "" });
    };
    return html`<div class=${classes("app", STALE.includes(status.state) && "stale")} onClick=${follow}>
      <a class="skip" href="#main">${t("nav.skip")}</a>
      <${Header} state=${state} actions=${actions} />
      <main id="main" tabindex="-1" data-page=${place.page}>
        ${model.isConfigured ? html`<${View} key=${place.page} state=${state} actions=${actions} />` : html`<div class="overview"><p class="sentence" data-state="unknown">${t("sentence.unknown")}</p><${Skeleton} /></div>`}
      </main>
      <${Announcer} state=${state} />
      ${state.isLocked && html`<${Token} open=${actions.unlock} />`}
    </div>`;
  }
}

function Header({ state, actions }) {
  const { place, model, status, theme } = state;
  const open = model.firing.length;
  return html`<header>
    <p class="brand"><a href=${addressOf(place, { page: "overview", alert: "" })} data-page="overview">cx-signals</a></p>
    <nav aria-label=${t("nav.pages")}>${PAGES.map((page) => html`
      <a key=${page} data-page=${page} href=${addressOf(place, { page, alert: "" })} aria-current=${page === place.page ? "page" : null}>
        ${t(`page.${page}`)}${page === "alerts" && open > 0 ? html` <b class="count">${open}</b>` : null}</a>`)}
    </nav>
    <p id="status" data-state=${status.state}><span class="dot" aria-hidden="true"></span><span id="status-text">${status.text}</span></p>
    <div class="choice">
      <${SegmentPicker} segment=${place.segment} changed=${(segment) => actions.choose({ segment })} isOn=${model.isConfigured} />
      <fieldset id="window"><legend>${t("choice.window")}</legend>${WINDOWS.map((name) => html`
        <label key=${name}><input type="radio" name="window" value=${name} checked=${name === place.window} onChange=${() => actions.choose({ window: name })} /><span>${name}</span></label>`)}
      </fieldset>
      <button type="button" id="pause" aria-pressed=${String(status.paused)} disabled=${Boolean(place.at)} onClick=${actions.pause}>${t("choice.pause")}</button>
      <${Timeline} at=${place.at} choose=${actions.choose} />
      <span class="own"><button type="button" id="theme" onClick=${actions.theme}>${t(`choice.theme.${theme.name}`)}</button>
      ${model.config.timeZone && html`<button type="button" id="zone" onClick=${actions.zone}>${t(`choice.zone.${state.zone}`)}</button>`}
      <select id="language" aria-label=${t("choice.language")} value=${spoken()} onChange=${(event) => actions.language(event.target.value)}>
        ${Object.entries(LANGUAGES).map(([key, { name }]) => html`<option key=${key} value=${key} lang=${key}>${name}</option>`)}
      </select></span>
    </div>
  </header>`;
}

const WORTH_SAYING = ["lost", "trouble", "still"];

/** What has changed, for those who hear the page: whether it is live, and alerts. */
class Announcer extends Component {
  componentWillReceiveProps({ state: { model, status } }) {
    const before = this.before ?? {};
    const texts = [];
    if (before.state && before.state !== status.state && before.state !== "starting" && (status.state === "past" || WORTH_SAYING.includes(status.state) || WORTH_SAYING.includes(before.state))) texts.push(status.text);
    const alerts = model.alerts === null || model.past !== null ? null : new Map(model.alerts.map((alert) => [alert.alert_id, alert.status]));
    if (before.alerts && alerts) {
      const changed = model.alerts.filter((alert) => alert.status !== "pending" && before.alerts.get(alert.alert_id) !== alert.status);
      texts.push(...changed.map((alert) => `${t(`alerts.status.${alert.status}`)}: ${sentence(alert, model.config)}`));
    }
    // Only from live to live: another moment is not news.
    this.before = { state: status.state, alerts: model.past === null ? (alerts ?? before.alerts) : null };
    if (texts.length) this.setState({ text: texts.join(" ") });
  }

  render(_, { text = "" }) {
    return html`<p id="announce" class="hidden" role="status">${text}</p>`;
  }
}
