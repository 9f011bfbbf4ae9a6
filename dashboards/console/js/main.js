// The page put together: what comes in goes to the model, what the model holds is drawn once a frame.

import { Alerts } from "./alerts.js";
import { get, login, Refused } from "./api.js";
import { Charts } from "./charts.js";
import { fromAddress, SegmentPicker, toAddress } from "./choice.js";
import { byId } from "./dom.js";
import { segmentName, setNow } from "./format.js";
import { Figures } from "./figures.js";
import { Funnels } from "./funnels.js";
import { Health, Status } from "./health.js";
import { Model } from "./model.js";
import { Money } from "./money.js";
import { Recovery } from "./recovery.js";
import { Shop } from "./shop.js";
import { Sources } from "./sources.js";
import { Stores } from "./stores.js";
import { Stream } from "./stream.js";
import { themes } from "./theme.js";

const model = new Model();
let choice = fromAddress();

const picker = new SegmentPicker(byId("segment"), (segment) => choose({ segment }));
const figures = new Figures(byId("figures"));
const money = new Money(byId("money"));
const recovery = new Recovery(byId("recovery-panel"), byId("recovery"), () => status.paused);
const sources = new Sources(byId("sources-panel"), byId("sources"), () => status.paused);
const charts = new Charts(byId("charts"), (funnel) => choose({ funnel }), () => status.paused);
const funnels = new Funnels(byId("funnels"), (funnel) => choose({ funnel }));
const stores = new Stores(byId("stores"), byId("stores-all"), {
  sorted: (sort) => choose({ sort }, false),
  picked: (segment) => choose({ segment }),
  isPaused: () => status.paused,
});
const alerts = new Alerts(byId("alerts"), byId("announce"), (alert) => {
  const funnel = model.config.signals[alert.signal]?.funnel;
  choose({ segment: alert.segment, ...(funnel ? { funnel } : {}) });
});
const health = new Health(byId("health"));
const status = new Status(byId("status"), byId("status-text"), byId("announce"));
const shop = new Shop(byId("shop"), byId("incidents"), byId("announce"));
const stream = new Stream(take, (state, why) => {
  status.connected(state, why);
  if (state === "locked") askForToken();
  draw();
});

function take(event, data) {
  if (event === "signals") {
    status.trouble = null;
    charts.take(model.takeRows(data), data.as_of, data.whole);
  } else if (event === "usual") model.usual = data.usual;
  else if (event === "funnels") model.funnels = data.funnels;
  else if (event === "alerts") model.alerts = data.alerts;
  else if (event === "vitals") {
    model.vitals = data;
    setNow(data.now);
  }
  else if (event === "trouble") status.trouble = data.message;
  draw();
}

const HIDDEN_MS = 60_000;
let hiding = 0;
let isDrawing = false;

function draw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    status.show(model);
    health.show(model.vitals);
    alerts.show(model);
    const hasData = model.asOf !== null;
    byId("empty").hidden = hasData || !model.known || status.root.dataset.state !== "empty";
    byId("content").hidden = !hasData;
    if (!hasData) return;
    figures.show(model, choice.segment);
    money.show(model, choice.segment, choice.window);
    charts.show();
    funnels.show(model, choice.segment, choice.funnel);
    recovery.show(model, choice.segment);
    byId("stores-panel").hidden = !stores.show(model);
  });
}

/** Look at something else. Other segments and windows are places to come back to; the rest is not. */
function choose(change, isNewPlace = true) {
  const before = choice;
  choice = { ...choice, ...change };
  toAddress(choice, isNewPlace);
  look(before);
}

function look(before = null) {
  if (!model.config.funnels.includes(choice.funnel)) choice.funnel = model.config.funnels[0];
  const view = { segment: choice.segment, window: choice.window };
  picker.show(choice.segment);
  for (const radio of document.querySelectorAll("#window input")) radio.checked = radio.value === choice.window;
  document.title = `${segmentName(choice.segment)}, cx-signals`;
  const isElsewhere = !before || before.segment !== choice.segment || before.window !== choice.window;
  if (isElsewhere) {
    model.forget();
    charts.asOf = null;
    recovery.look(choice.segment, model.config);
    if (!status.paused) stream.open(view);
    else resume();
  }
  if (isElsewhere || before.funnel !== choice.funnel) charts.look(view, choice.funnel, model.config, !isElsewhere);
  if (isElsewhere || before.sort !== choice.sort) stores.look(view, choice.sort, model.config);
  draw();
}

function resume() {
  status.paused = false;
  showPause();
  stream.open({ segment: choice.segment, window: choice.window });
}

function showPause() {
  byId("pause").setAttribute("aria-pressed", String(status.paused));
}

byId("pause").addEventListener("click", () => {
  if (status.paused) resume();
  else {
    status.paused = true;
    stream.close();
    showPause();
  }
  draw();
});
for (const radio of document.querySelectorAll("#window input")) {
  radio.addEventListener("change", () => choose({ window: radio.value }));
}
byId("stores-all").addEventListener("click", draw);
addEventListener("popstate", () => {
  const before = choice;
  choice = fromAddress();
  look(before);
});
themes(byId("theme"), () => {
  charts.themed();
  draw();
});
setInterval(draw, 1_000); // what is silent gets old

// A hidden page leaves its place at the stream to others. It is up to date again as soon as it is shown.
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(() => stream.close(), HIDDEN_MS);
  else if (!status.paused && !stream.wanted && stream.view) resume();
});

function askForToken() {
  const dialog = byId("token");
  if (dialog.open) return;
  dialog.showModal();
  dialog.addEventListener("close", async () => {
    const token = byId("token-text").value;
    byId("token-text").value = "";
    await login(token).catch(() => {}); // what is wrong with it is seen at the next question
    start();
  }, { once: true });
}

let delay = 1_000;

async function start() {
  try {
    model.config = await get("/api/console");
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      status.connected("locked");
      draw();
      return askForToken();
    }
    status.connected("lost");
    draw();
    delay = Math.min(delay * 1.6, 15_000);
    return setTimeout(start, delay);
  }
  figures.begin(model.config);
  money.begin(model.config);
  if (model.config.hasShop) shop.start();
  picker.load();
  sources.load();
  look();
}

start();
