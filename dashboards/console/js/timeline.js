// Where in time one looks: the present, or any moment of the last week.

import { moment, now } from "./format.js";
import { t } from "./i18n.js";
import { Component, html } from "./ui.js";

const WEEK_MS = 7 * 86_400_000;
const STEP_MS = 60_000;
const REST_MS = 150; // so long the slider has to rest before anything is asked

export class Timeline extends Component {
  componentWillUnmount() {
    clearTimeout(this.timer);
  }

  render({ at, choose }, { moving = null }) {
    const until = Math.floor(now() / STEP_MS) * STEP_MS;
    const shown = moving ?? (at ? Date.parse(at) : until);
    const go = (ms) => {
      clearTimeout(this.timer);
      this.setState({ moving: null });
      choose({ at: ms >= until ? "" : new Date(ms).toISOString() });
    };
    const slide = (event) => {
      const ms = Math.round((until - (WEEK_MS - Number(event.target.value))) / STEP_MS) * STEP_MS;
      this.setState({ moving: ms });
      clearTimeout(this.timer);
      this.timer = setTimeout(() => go(ms), REST_MS);
    };
    const text = at || moving !== null ? moment(shown) : t("timeline.now");
    return html`<div id="timeline" data-past=${String(Boolean(at))}>
      <label><span>${t("timeline.moment")}</span> <input type="range" min="0" max=${WEEK_MS} step=${STEP_MS} value=${shown - (until - WEEK_MS)} aria-valuetext=${text} onInput=${slide} /></label>
      <output>${text}</output>
      <button type="button" id="live" hidden=${!at} onClick=${() => go(until)}>${t("timeline.live")}</button>
    </div>`;
  }
}
