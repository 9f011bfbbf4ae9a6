// cx-signals' own tag: what a customer does on a page, as touchpoints. No dependency, no cookie.
//   <script src="https://YOUR-COLLECTOR/SOURCE/tag.js" data-key="KEY" defer></script>
//   cx("product_added", { value: 19.9, currency: "EUR" }); cx.identify("customer-7"); cx.consent(true);
// Attributes: data-key; data-consent="granted" (a visitor's id may be kept); data-survey="csat" (a pop-in; off);
// data-views="off" (another tag tells of pages). cx.session() is for that other tag, so that both tell of one session.
(() => {
  const script = document.currentScript, data = script.dataset, url = script.src.replace(/tag\.js.*$/, "e");
  const now = () => Date.now(), id = () => crypto.randomUUID?.() ?? now().toString(36) + Math.random().toString(36).slice(2);
  const silent = navigator.doNotTrack === "1" || navigator.globalPrivacyControl === true;
  const stored = (store, name, value) => {
    try { // storage may be forbidden altogether
      if (value === undefined) return store().getItem(name);
      if (value === null) store().removeItem(name); else store().setItem(name, value);
    } catch { /* then it lasts as long as the page */ }
    return value;
  };
  const tab = (name, value) => stored(() => sessionStorage, name, value);
  const kept = (name, value) => stored(() => localStorage, name, value);
  const said = kept("cx-consent"); // what the customer says stands over what the page says
  let allowed = said ? said === "1" : data.consent === "granted";
  let denied = said === "0"; // then it counts, and the collector keeps nothing of who it was
  let customer = tab("cx-customer") || undefined, page = {};

  // A session: of this tab, until half an hour passes without anything.
  const session = () => {
    const [own, last] = (tab("cx-session") ?? page.session ?? "").split("|");
    const current = own && now() - last < 18e5 ? own : id();
    page.session = tab("cx-session", `${current}|${now()}`);
    return current;
  };
  const visitor = () => (allowed ? kept("cx-visitor") ?? kept("cx-visitor", id()) : undefined);

  // What is not taken yet, also over pages and while there is no network. Ids stay, so a copy is known.
  let queue = JSON.parse(tab("cx-queue") || "[]"), timer, pause = 1e3, sending = [], until = 0;
  const keep = () => tab("cx-queue", JSON.stringify(queue.slice(-200)));
  const body = (events) => JSON.stringify({ key: data.key, sent_at: new Date().toISOString(), events });
  const later = (ms) => { clearTimeout(timer); timer = setTimeout(flush, Math.max(ms, until - now())); };
  const flush = async () => {
    if (!queue.length || sending.length) return;
    const some = queue.slice(0, 50);
    sending = some;
    let again = true;
    try {
      const answer = await fetch(url, { method: "POST", body: body(some), keepalive: true, headers: { "Content-Type": "text/plain" } });
      again = answer.status >= 500 || answer.status === 429 || answer.status === 408;
    } catch { /* no network: they stay */ }
    sending = [];
    pause = again ? Math.min(pause * 2, 6e4) : 1e3;
    until = again ? now() + pause : 0;
    if (!again) queue = queue.filter((one) => !some.includes(one));
    keep();
    if (queue.length) later(0);
  };
  // Whether a beacon arrives nobody says: the next page sends it again, and the collector knows a copy.
  const leave = () => {
    const rest = queue.filter((one) => !sending.includes(one)).slice(-50);
    if (rest.length) navigator.sendBeacon(url, body(rest));
  };

  const tell = (type, fields = {}) => {
    if (silent) return;
    queue.push({
      ...fields, type, event_id: id(), occurred_at: new Date().toISOString(), session_id: session(),
      visitor_id: visitor(), customer_id: denied ? undefined : customer, campaign: campaign(), consent: allowed || (denied ? false : undefined),
    });
    keep();
    later(queue.length > 9 ? 0 : 1e3);
  };
  const campaign = () => {
    const own = new URLSearchParams(location.search).get("utm_campaign");
    return own ? tab("cx-campaign", own) : tab("cx-campaign") ?? undefined;
  };
  const cx = (window.cx = tell);
  cx.session = session;
  cx.identify = (whose) => {
    tab("cx-customer", whose ? String(whose) : null);
    customer = whose ? String(whose) : undefined;
  };
  cx.consent = (given) => {
    [allowed, denied] = [given, !given];
    kept("cx-consent", given ? "1" : "0");
    if (!given) kept("cx-visitor", null);
  };

  // Pages, also those that a script shows without loading one.
  const view = () => {
    if (page.path === location.pathname || data.views === "off") return;
    page.path = location.pathname;
    tell("page_viewed");
  };
  const push = history.pushState;
  history.pushState = function (...args) { push.apply(this, args); view(); };
  addEventListener("popstate", view);
  addEventListener("pagehide", leave);
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && leave());
  addEventListener("online", () => later(0));

  // Rage: three clicks within a second and 30 pixels. Dead: a click on what looks alive, and nothing moves.
  // Signs are counted, for a click takes the focus in the millisecond before it.
  let clicks = [], signs = 0;
  new MutationObserver(() => { signs++; }).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  for (const sign of ["scroll", "focusin", "input", "selectionchange"]) document.addEventListener(sign, () => { signs++; }, true);
  document.addEventListener("click", (event) => {
    const at = now(), before = signs;
    clicks = clicks.filter((one) => at - one.at < 1e3 && Math.hypot(one.x - event.clientX, one.y - event.clientY) <= 30);
    clicks.push({ at, x: event.clientX, y: event.clientY });
    if (clicks.length === 3) { clicks = []; tell("rage_clicked"); }
    const alive = event.target.closest?.("a,button,[role=button],[onclick],input[type=submit]");
    if (alive) setTimeout(() => { if (signs === before && document.visibilityState === "visible") tell("dead_clicked"); }, 2500);
  }, true);

  let errors = 0;
  const failed = () => { if (errors++ < 10) tell("error_shown"); };
  addEventListener("error", failed);
  addEventListener("unhandledrejection", failed);

  // Forms: the first field, each field that is filled in (the last one tells where it was left), sent off.
  const field = (event) => event.target.name || event.target.id || undefined;
  const counts = (form) => form && !form.matches("[role=search]") && !form.querySelector("[type=search]"); // a search is none
  const begun = new WeakSet();
  document.addEventListener("focusin", (event) => {
    const { form } = event.target;
    if (counts(form) && !begun.has(form)) { begun.add(form); tell("form_started", { step: field(event) }); }
  });
  document.addEventListener("change", (event) => counts(event.target.form) && tell("form_started", { step: field(event) }));
  document.addEventListener("submit", ({ target }) => { if (counts(target)) { begun.delete(target); tell("form_submitted"); } }, true);

  // A question at the edge of the page, once a session, where it is asked for.
  cx.survey = (survey = "csat", question = "How satisfied are you today?") => {
    if (silent || tab("cx-asked")) return;
    tab("cx-asked", "1");
    const [from, to] = survey === "nps" ? [0, 10] : [1, survey === "ces" ? 7 : 5];
    const box = document.createElement("div");
    box.setAttribute("role", "dialog");
    box.setAttribute("aria-label", question);
    box.style.cssText = "position:fixed;right:1em;bottom:1em;padding:1em;background:#fff;color:#111;border:1px solid #888;border-radius:8px;font:14px sans-serif;z-index:9999";
    box.append(question, document.createElement("br"));
    for (let score = from; score <= to; score++) {
      const button = document.createElement("button");
      button.textContent = score;
      button.onclick = () => { box.remove(); tell("survey_answered", { survey, score }); };
      box.append(button);
    }
    document.body.append(box);
  };
  view();
  if (data.survey) setTimeout(() => cx.survey(data.survey), 3e4);
  if (queue.length) later(0);
})();
