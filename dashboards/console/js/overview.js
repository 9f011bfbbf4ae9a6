// The first screen: how things are in a sentence, and four groups of figures.

import { get } from "./api.js";
import { partsOf } from "./describe.js";
import { Figure } from "./figures.js";
import { ago, clock, day, now } from "./format.js";
import { t } from "./i18n.js";
import { Loaded } from "./loaded.js";
import { addressOf, then } from "./place.js";
import { sentence, worst } from "./sentence.js";
import { Shop } from "./shop.js";
import { scaleOf } from "./spark.js";
import { html } from "./ui.js";

const EVERY_MS = 60_000;
const DAY_MS = 86_400_000;
const NONE = { points: [], usual: [] };

export function Overview({ state, actions }) {
  const { model, place, status } = state;
  const ask = (signal) => get("/api/v1/signals/day", { segment: place.segment, ...then(place) }, signal);
  return html`<div class="overview">
    <${Sentence} state=${state} actions=${actions} />
    ${status.state === "empty" ? html`<${Empty} />` : html`
      <${Loaded} what=${place.segment + place.at} ask=${ask} everyMs=${EVERY_MS} isPaused=${status.paused || place.at}>${(found) => html`<${Parts} state=${state} found=${found} />`}<//>`}
    ${model.config.hasShop && html`<${Shop} />`}
  </div>`;
}

function Sentence({ state: { model, place }, actions }) {
  if (model.alerts === null) return html`<p class="sentence" data-state="unknown">${t("sentence.unknown")}</p>`;
  const { firing } = model;
  if (!firing.length) {
    return html`<div class="sentence" data-state="usual"><h1>${t("sentence.usual")}</h1><p>${t("sentence.usual.more")}</p></div>`;
  }
  const alert = worst(firing);
  const go = (event) => {
    event.preventDefault();
    actions.choose({ page: "alerts", alert: alert.alert_id });
  };
  const more = firing.length > 1 ? html` <a href=${addressOf(place, { page: "alerts" })} data-page="alerts">${t("sentence.more", { n: firing.length - 1 })}</a>` : null;
  return html`<div class="sentence" data-state="failing">
    <h1><a href=${addressOf(place, { page: "alerts", alert: alert.alert_id })} onClick=${go}>${sentence(alert, model.config)}</a></h1>
    <p>${t("sentence.since", { ago: ago((model.past ?? now()) - Date.parse(alert.opened_at)) })}${more}</p>
  </div>`;
}

function Parts({ state, found }) {
  const { model } = state;
  const days = new Map((found?.rows ?? []).map((row) => [row.signal, row]));
  const until = model.asOf ?? now();
  return html`<div class="parts" id="figures">${partsOf(model.config).map(([id, figures]) => html`
    <section class="part" key=${id} aria-labelledby=${`part-${id}`} data-part=${id}>
      <h2 id=${`part-${id}`}>${t(`part.${id}`)}</h2>
      <${Figure} key=${figures[0].signal} figure=${figures[0]} state=${state} day=${days.get(figures[0].signal) ?? NONE} until=${until}
        scale=${scaleOf([days.get(figures[0].signal) ?? NONE], figures[0].range, figures[0].unit !== "points")} isLead=${true} />
      <p class="axis" aria-hidden="true"><span>${model.past === null ? t("figure.ago", { time: clock(until - DAY_MS) }) : `${day(until - DAY_MS)} ${clock(until - DAY_MS)}`}</span><span>${clock(until)}</span></p>
      <div class="others">${figures.slice(1).map((figure) => html`
        <${Figure} key=${figure.signal} figure=${figure} state=${state} day=${days.get(figure.signal) ?? NONE} until=${until} scale=${equalScale(figure, figures, days)} />`)}
      </div>
    </section>`)}
  </div>`;
}

/** Figures of one unit in one part are drawn to one scale, so that their lines can be compared. */
function equalScale(figure, figures, days) {
  const same = figures.filter(({ unit }) => unit === figure.unit).map(({ signal }) => days.get(signal) ?? NONE);
  return scaleOf(same, figure.range, figure.unit !== "points");
}

function Empty() {
  const code = (text) => html`<code>${text}</code>`;
  const topics = ["touchpoints.web", "touchpoints.app", "touchpoints.pos"];
  const [before, between, after] = t("empty.what", { topics: "\u0000", command: "\u0000" }).split("\u0000");
  const [first, second, third, fourth] = t("empty.how", { simulate: "\u0000", replay: "\u0000", variable: "\u0000" }).split("\u0000");
  return html`<section id="empty" class="panel">
    <h2>${t("empty.title")}</h2>
    <p>${before}${topics.map((topic) => html`${code(topic)} `)}${between}${code("cx-signals deadletters list")}${after}</p>
    <p>${first}${code("cx-signals simulate --history 60")}${second}${code("cx-signals replay FILE --format touchpoints")}${third}${code("CX_KAFKA__BOOTSTRAP_SERVERS")}${fourth}</p>
  </section>`;
}
