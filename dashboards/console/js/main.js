// The page put together: what comes in goes to the model; what the model holds is drawn once a frame.

import { get, login, Refused } from "./api.js";
import { App } from "./app.js";
import { setNow, setZone } from "./format.js";
import { speak, wanted } from "./i18n.js";
import { Model } from "./model.js";
import { lookBack } from "./past.js";
import { fromAddress, toAddress } from "./place.js";
import { Status } from "./status.js";
import { Stream } from "./stream.js";
import { nextTheme, themeNow } from "./theme.js";
import { html, render } from "./ui.js";

const HIDDEN_MS = 60_000;
const root = document.getElementById("app");
const model = new Model();
const status = new Status();
const state = { place: fromAddress(), model, status, isLocked: false, zone: localStorage.getItem("cx-zone") ?? "shop", theme: themeNow() };
const actions = { choose, pause, theme, language, zone, unlock, draw };
const stream = new Stream(take, (connection, why) => {
  status.connected(connection, why);
  if (connection === "locked") state.isLocked = true;
  draw();
});
let isDrawing = false;
let hiding = 0;
let delay = 1_000;
let looking = null;

function draw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    status.look(model);
    render(html`<${App} state=${state} actions=${actions} />`, root);
  });
}

function take(event, data) {
  if (event === "signals") {
    status.trouble = null;
    model.takeRows(data);
  } else if (event === "usual") model.usual = data.usual;
  else if (event === "funnels") model.funnels = data.funnels;
  else if (event === "alerts") model.alerts = data.alerts;
  else if (event === "vitals") {
    model.takeVitals(data);
    setNow(data.now);
  } else if (event === "trouble") status.trouble = data.message;
  draw();
}

/** Look at something else. */
function choose(change) {
  const before = state.place;
  state.place = { ...before, ...change };
  // Moving on within the past is one place, or a slider would fill the history.
  const isElsewhere = ["page", "segment", "window", "alert", "compare"].some((name) => state.place[name] !== before[name]);
  toAddress(state.place, isElsewhere || !before.at !== !state.place.at);
  look(before);
}

function look(before = null) {
  const { place } = state;
  if (!model.config.funnels.includes(place.funnel)) place.funnel = model.config.funnels[0];
  if (before && (before.page !== place.page || before.alert !== place.alert)) {
    document.getElementById("main")?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  // Of the past a page asks for what it shows.
  const asked = ["segment", "window", "at", ...(place.at ? ["page"] : [])];
  if (!before || asked.some((name) => before[name] !== place[name])) {
    if (!before?.at !== !place.at) model.alerts = null;
    model.forget();
    status.paused = false;
    status.trouble = null;
    status.past = place.at ? Date.parse(place.at) : null;
    if (place.at) back();
    else listen();
  }
  draw();
}

function listen() {
  looking?.abort();
  stream.open({ segment: state.place.segment, window: state.place.window });
}

/** Ask for a moment of the past; while somebody moves through time, only the last one that was asked for counts. */
async function back() {
  stream.close();
  looking?.abort();
  const mine = (looking = new AbortController());
  status.isLooking = true;
  draw();
  try {
    await lookBack(model, state.place, status.past, mine.signal);
  } catch (error) {
    if (mine !== looking || error.name === "AbortError") return;
    status.trouble = error.message;
    state.isLocked = error instanceof Refused && error.status === 401;
  }
  if (mine !== looking) return;
  status.isLooking = false;
  draw();
}

function pause() {
  status.paused = !status.paused;
  if (status.paused) stream.close();
  else listen();
  draw();
}

function theme() {
  state.theme = nextTheme(state.theme);
  draw();
}

function language(next) {
  speak(next, true);
  choose({ lang: state.place.lang && next });
}

function zone() {
  state.zone = state.zone === "shop" ? "own" : "shop";
  localStorage.setItem("cx-zone", state.zone);
  setZone(state.zone === "shop" ? model.config.timeZone : "");
  draw();
}

async function unlock(token) {
  state.isLocked = false;
  draw();
  await login(token).catch(() => {}); // what is wrong with it is seen at the next question
  start();
}

async function start() {
  try {
    model.config = await get("/api/console");
  } catch (error) {
    state.isLocked = error instanceof Refused && error.status === 401;
    status.connected(state.isLocked ? "locked" : "lost");
    draw();
    if (state.isLocked) return;
    delay = Math.min(delay * 1.6, 15_000);
    setTimeout(start, delay);
    return;
  }
  model.isConfigured = true;
  setZone(state.zone === "shop" ? model.config.timeZone : "");
  look();
}

addEventListener("popstate", () => {
  const before = state.place;
  state.place = fromAddress();
  speak(wanted(state.place.lang));
  look(before);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  state.theme = { ...state.theme };
  draw();
});
// A hidden page leaves its place at the stream to others. It is up to date again as soon as it is shown.
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(() => stream.close(), HIDDEN_MS);
  else if (!status.paused && !state.place.at && !stream.wanted && stream.view) listen();
});
setInterval(draw, 1_000); // what is silent gets old

speak(wanted(state.place.lang), false);
document.title = "cx-signals";
draw();
start();
