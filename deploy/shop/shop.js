// A shop to click through. Commerce is told by Segment's SDK, what else happens on the page by the tag of cx-signals.

const { collector, consoleUrl, key } = window.SHOP;
const GOODS = [
  { product_id: "507", name: "Running shoe", category: "shoes", price: 89.9 },
  { product_id: "612", name: "Rain jacket", category: "jackets", price: 129 },
  { product_id: "733", name: "Day pack", category: "bags", price: 59.5 },
  { product_id: "744", name: "Water bottle", category: "bags", price: 18.99 },
  { product_id: "801", name: "Wool socks", category: "shoes", price: 12.5 },
  { product_id: "816", name: "Head torch", category: "lamps", price: 34 },
];
const CURRENCY = "EUR";
const money = (value) => new Intl.NumberFormat("en", { style: "currency", currency: CURRENCY }).format(value);
const page = document.getElementById("page");

// --- what is told ---

const tag = document.createElement("script");
Object.assign(tag, { src: `${collector}/tag/tag.js` });
Object.assign(tag.dataset, { key, consent: "granted", views: "off" });
const tagged = new Promise((ready) => { tag.onload = tag.onerror = ready; });
document.head.append(tag);
await tagged;

const analytics = window.AnalyticsNext.AnalyticsBrowser.load({
  writeKey: key,
  cdnSettings: {
    integrations: { "Segment.io": { apiKey: key, apiHost: `${collector.replace(/^https?:\/\//, "")}/web/v1`, protocol: location.protocol.slice(0, -1) } },
    plan: { track: {} },
  },
});
// Both tell of one session.
analytics.addSourceMiddleware(({ payload, next }) => {
  if (window.cx) payload.obj.context = { ...payload.obj.context, sessionId: window.cx.session() };
  next(payload);
});
const tell = (event, properties = {}) => analytics.track(event, { currency: CURRENCY, ...properties });

// --- the cart, and who it is ---

const cart = {
  get: () => JSON.parse(sessionStorage.getItem("cart") ?? "[]"),
  set: (lines) => sessionStorage.setItem("cart", JSON.stringify(lines)),
  total: () => cart.get().reduce((sum, one) => sum + one.price * one.quantity, 0),
};
const who = document.getElementById("who");
const customer = () => localStorage.getItem("customer");
const introduce = () => {
  const whose = customer();
  if (whose) { analytics.identify(whose); window.cx?.identify(whose); }
  who.textContent = whose ? `${whose}: sign out` : "Sign in";
};
who.onclick = () => {
  if (customer()) { localStorage.removeItem("customer"); analytics.reset(); window.cx?.identify(null); }
  else localStorage.setItem("customer", `customer-${Math.floor(Math.random() * 9_000) + 1_000}`);
  introduce();
};
const count = () => {
  const all = cart.get().reduce((sum, one) => sum + one.quantity, 0);
  document.getElementById("count").textContent = all ? `(${all})` : "";
};

// --- pages ---

const make = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};
const button = (text, onclick, className = "main") => make("button", { type: "button", className, onclick }, text);

function put(product, quantity) {
  const lines = cart.get();
  const line = lines.find((one) => one.product_id === product.product_id);
  if (line) line.quantity += quantity;
  else lines.push({ ...product, quantity });
  cart.set(lines.filter((one) => one.quantity > 0));
  count();
  tell(quantity > 0 ? "Product Added" : "Product Removed", { ...product, quantity: Math.abs(quantity) });
}

function list() {
  const query = new URLSearchParams(location.search).get("query") ?? "";
  if (query) tell("Products Searched", { query });
  const shown = GOODS.filter((one) => `${one.name} ${one.category}`.toLowerCase().includes(query.toLowerCase()));
  page.append(
    make("h1", {}, query ? `Found for “${query}”` : "Things to go outside with"),
    make("ul", { className: "goods" }, ...shown.map((one) => make("li", {},
      make("a", { href: `/product?id=${one.product_id}` }, one.name),
      make("p", { className: "price" }, money(one.price)),
      button("Into the cart", () => put(one, 1))))),
    ...(shown.length ? [] : [make("p", {}, "Nothing. A search that finds nothing and leads nowhere counts as given up after two minutes.")]),
  );
}

function product() {
  const one = GOODS.find((some) => some.product_id === new URLSearchParams(location.search).get("id"));
  if (!one) { page.append(make("h1", {}, "There is no such thing")); return; }
  tell("Product Viewed", one);
  page.append(make("h1", {}, one.name), make("p", { className: "price" }, money(one.price)), button("Into the cart", () => put(one, 1)),
    make("p", {}, "This one does nothing, which is a dead click; three quick ones are rage: "), button("Zoom", () => {}, ""));
}

function basket() {
  tell("Cart Viewed", { value: cart.total() });
  const lines = cart.get();
  const row = (one) => make("tr", {}, make("td", {}, one.name), make("td", {}, String(one.quantity)), make("td", { className: "price" }, money(one.price * one.quantity)),
    make("td", {}, button("One less", () => { put(one, -1); location.reload(); }, "")));
  page.append(make("h1", {}, "Cart"), lines.length ? make("table", {}, ...lines.map(row)) : make("p", {}, "It is empty."));
  if (lines.length) page.append(make("p", { className: "price" }, `In all ${money(cart.total())}`), button("To the checkout", () => { location.href = "/checkout"; }));
}

function checkout() {
  const order_id = `o-${Date.now().toString(36)}`, products = cart.get(), total = cart.total();
  tell("Checkout Started", { order_id, value: total, products });
  tell("Checkout Step Viewed", { step: "payment" });
  const fails = make("input", { type: "checkbox", name: "fails" });
  const said = make("p", { role: "status" });
  const form = make("form", { className: "checkout" },
    make("label", {}, "Street and town", make("input", { name: "street", required: true })),
    make("label", {}, "Card number", make("input", { name: "card", inputMode: "numeric", placeholder: "any number" })),
    make("label", {}, make("span", {}, fails, " let the payment fail")),
    make("button", { className: "main" }, `Pay ${money(total)}`), said);
  form.onsubmit = (event) => {
    event.preventDefault();
    tell("Payment Info Entered", { step: "payment" });
    if (fails.checked) {
      window.cx?.("error_shown", { step: "payment" });
      Object.assign(said, { className: "failed", textContent: "The payment was refused. Try again, or leave: that is an abandoned checkout after 15 minutes." });
      return;
    }
    tell("Order Completed", { order_id, total, products }).then(() => {
      cart.set([]);
      sessionStorage.setItem("order", order_id);
      location.href = "/thanks";
    });
  };
  page.append(make("h1", {}, "Checkout"), form);
}

function thanks() {
  page.append(make("h1", {}, "Thank you"), make("p", {}, `Order ${sessionStorage.getItem("order") ?? ""} is paid. How was it?`));
  window.cx?.survey("csat");
}

const PAGES = { "/": list, "/product": product, "/cart": basket, "/checkout": checkout, "/thanks": thanks };
document.getElementById("console").href = consoleUrl;
document.getElementById("search").action = "/";
introduce();
count();
analytics.page();
(PAGES[location.pathname] ?? list)();
