// Stores where they are: the darker a dot, the worse it is there now. Drawn without anybody's map.

import { count, segmentName } from "./format.js";
import { t } from "./i18n.js";
import { addressOf } from "./place.js";
import { html } from "./ui.js";

const WIDTH = 640;
const MARGIN = 40;
const LEAST_DEGREES = 0.2; // stores of one town are not drawn as far apart as towns
const MOST_HEIGHT = 480;

/** `column`: what is looked at, as in the table of stores. Nothing where no coordinates are given. */
export function StoreMap({ state: { model, place }, actions, column, better }) {
  const places = Object.entries(model.config.places);
  if (!places.length) return null;
  const dots = places.map(([id, [name, latitude, longitude]]) => {
    const segment = `store_id=${escaped(id)}`;
    return { id, segment, name: name || segmentName(segment), latitude, longitude, row: model.now(segment, column.signal) };
  });
  const { x, y, height } = projection(dots);
  const values = dots.filter(({ row }) => row).map(({ row }) => row.value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const worse = (value) => (high > low ? (better === "low" ? value - low : high - value) / (high - low) : 0);
  const go = (segment) => (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    actions.choose({ page: "overview", segment });
  };
  return html`<h2 id="map-title">${t("stores.map", { name: column.name })}</h2>
    <div class="panel wide"><svg id="map" viewBox=${`0 0 ${WIDTH} ${height}`} aria-labelledby="map-title">${dots.map((dot) => {
      const text = dot.row ? `${column.text(dot.row.value)}, ${t("figure.n", { n: count(dot.row.n) })}` : t("figure.none");
      const share = dot.row ? Math.round(100 * worse(dot.row.value)) : 0;
      return html`<a key=${dot.id} href=${addressOf(place, { page: "overview", segment: dot.segment })} onClick=${go(dot.segment)} aria-label=${`${dot.name}: ${text}`} data-place=${dot.id}>
        <title>${`${dot.name}: ${text}`}</title>
        <circle cx=${x(dot.longitude)} cy=${y(dot.latitude)} r="9" style=${{ fill: `color-mix(in srgb, var(--heat) ${share}%, var(--panel))` }} />
        <text x=${x(dot.longitude) + 14} y=${y(dot.latitude) + 5}>${dot.name}</text></a>`;
    })}</svg></div>`;
}

/** Equirectangular, true to scale in its middle: good for a country. */
function projection(dots) {
  const bounds = (values) => [Math.min(...values), Math.max(...values)];
  const [south, north] = bounds(dots.map(({ latitude }) => latitude));
  const [west, east] = bounds(dots.map(({ longitude }) => longitude));
  const narrow = Math.cos((((south + north) / 2) * Math.PI) / 180);
  const tall = Math.max(LEAST_DEGREES, north - south);
  const wide = Math.max(LEAST_DEGREES, (east - west) * narrow);
  const labels = 110; // room to the right of the last dot
  const scale = Math.min((WIDTH - 2 * MARGIN - labels) / wide, (MOST_HEIGHT - 2 * MARGIN) / tall);
  return {
    x: (longitude) => MARGIN + (longitude - west) * narrow * scale,
    y: (latitude) => MARGIN + (north - latitude) * scale,
    height: Math.round(2 * MARGIN + tall * scale),
  };
}

/** As segments are written (`%`, `|` and `=` percent-encoded). */
const escaped = (id) => id.replace(/[%|=]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
