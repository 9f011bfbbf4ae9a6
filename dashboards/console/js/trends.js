// The last hours, each channel by itself, and the nowcast with its interval.

import { Chart, CHANNELS } from "./chart.js";
import { funnelName } from "./describe.js";
import { count, percent, segmentName } from "./format.js";
import { lookOf, t } from "./i18n.js";
import { html } from "./ui.js";

const SPAN_MS = { "1m": 3_600_000, "5m": 3_600_000, "15m": 6 * 3_600_000, "1h": 24 * 3_600_000 };

export function Trends({ state, actions }) {
  const { model, place, status, theme } = state;
  const { segment, funnel } = place;
  const shown = model.window ?? place.window;
  const name = funnelName(funnel);
  const channels = CHANNELS.includes(segment) || segment === "all" ? CHANNELS : [segment, ...CHANNELS];
  const of = { model, window: shown, theme, look: lookOf(state), asOf: model.asOf, span: SPAN_MS[shown], isPaused: status.paused || place.at };
  return html`<section aria-labelledby="trends-title">
    <div class="head"><h1 id="trends-title">${t("page.trends")}</h1>
      <select aria-label=${t("trends.funnel")} value=${funnel} onChange=${(event) => actions.choose({ funnel: event.target.value })}>
        ${model.config.funnels.map((one) => html`<option key=${one} value=${one}>${funnelName(one)}</option>`)}</select></div>
    <div id="charts">
      <${Chart} ...${of} key="csat" title=${t("trends.csat")} signal="csat" segments=${channels} text=${percent} />
      <${Chart} ...${of} key="left" title=${t("trends.left", { funnel: name })} signal=${`${funnel}_abandonment`} segments=${channels} text=${percent} />
      <${Chart} ...${of} key="nowcast" title=${t("trends.nowcast", { funnel: name, segment: segmentName(segment) })} signal=${`${funnel}_nowcast`} segments=${[segment]} text=${percent} band=${true} />
      <${Chart} ...${of} key="value" title=${t("trends.value", { funnel: name, currency: model.config.currency })} signal=${`${funnel}_value_abandoned`} segments=${channels} text=${count} column="numerator" />
    </div>
  </section>`;
}
