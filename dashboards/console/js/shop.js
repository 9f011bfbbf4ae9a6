// The simulated shop: break something, and watch it being noticed.

import { get } from "./api.js";
import { ago, now } from "./format.js";
import { known, t } from "./i18n.js";
import { Component, html } from "./ui.js";

const PATH = "/shop/incidents";
const MINUTES = 20;
const AGAIN_MS = 5_000;

export class Shop extends Component {
  constructor() {
    super();
    this.state = { incidents: [], failed: "", said: "" };
  }

  componentDidMount() {
    this.load();
    this.timer = setInterval(() => document.hidden || this.load(), AGAIN_MS);
  }

  componentWillUnmount() {
    clearInterval(this.timer);
  }

  async load() {
    const found = await get(PATH).catch(() => null);
    if (found) this.setState(found);
  }

  async order(name, minutes) {
    const response = await fetch(PATH, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name, minutes }),
    }).catch(() => null);
    const what = nameOf(name);
    if (!response?.ok) {
      this.setState({ failed: t("shop.failed", { what }) });
      return;
    }
    const { incidents } = await response.json();
    this.setState({ incidents, failed: "", said: t(minutes ? "shop.broken" : "shop.mended", { what, n: minutes }) });
  }

  render(_, { incidents, failed, said }) {
    return html`<section id="shop" class="panel" aria-labelledby="shop-title">
      <h2 id="shop-title">${t("shop.title")}</h2>
      <div id="incidents">${incidents.map(({ name, what, until }) => html`<div class="incident" key=${name}>
        <button type="button" data-incident=${name} data-on=${until ? "yes" : ""} onClick=${() => this.order(name, until ? 0 : MINUTES)}>${t(until ? "shop.mend" : "shop.break", { what: nameOf(name) })}</button>
        <p class="detail">${until ? t("shop.more", { what, ago: ago(until - now()) }) : what}</p>
      </div>`)}</div>
      <p class="failed">${failed}</p><p class="hidden" role="status">${failed || said}</p>
    </section>`;
  }
}

const nameOf = (name) => known(`shop.${name}`) ?? name;
