// Where one is: the page is the path; segment, window and the rest are the query. So what you see can be sent.

export const PAGES = ["overview", "alerts", "trends", "funnels", "stores", "recovery", "data"];
const DEFAULTS = { segment: "all", window: "5m", funnel: "checkout", sort: "queue_abandonment:worst", alert: "", compare: "", at: "", lang: "" };
const WINDOWS = ["1m", "5m", "15m", "1h"];

export function fromAddress() {
  const given = new URLSearchParams(location.search);
  const name = location.pathname.replace(/^\//, "");
  const place = { page: PAGES.includes(name) ? name : PAGES[0] };
  for (const key of Object.keys(DEFAULTS)) place[key] = given.get(key) || DEFAULTS[key];
  if (!WINDOWS.includes(place.window)) place.window = DEFAULTS.window;
  const at = Date.parse(place.at);
  place.at = Number.isNaN(at) || at > Date.now() ? DEFAULTS.at : new Date(at).toISOString();
  return place;
}

/** The address of a place, with what differs from the present one changed. */
export function addressOf(place, change = {}) {
  const { page, ...rest } = { ...place, ...change };
  const query = new URLSearchParams(Object.entries(rest).filter(([key, value]) => value !== DEFAULTS[key])).toString();
  return `/${page === PAGES[0] ? "" : page}${query ? `?${query}` : ""}`;
}

/** Other pages, segments and windows are places to come back to; the rest is not. */
export function toAddress(place, isNew) {
  if (isNew) history.pushState(null, "", addressOf(place));
  else history.replaceState(null, "", addressOf(place));
}

/** What is asked of the past: the parameter of the API, or none. */
export const then = ({ at }) => (at ? { at } : {});
