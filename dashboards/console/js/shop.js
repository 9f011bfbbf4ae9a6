// The simulated shop: break something, and watch it being noticed.

import { get } from "./api.js";
import { make, setAttribute, setText } from "./dom.js";
import { ago, now } from "./format.js";

const PATH = "/shop/incidents";
const NAMES = { "payment-mobile": "mobile payment", "slow-till": "the tills", "search-broken": "search" };
const MINUTES = 20;

export class Shop {
  constructor(panel, root, announce) {
    Object.assign(this, { panel, root, announce, rows: new Map() });
  }

  start() {
    if (!this.panel.hidden) return;
    this.panel.hidden = false;
    this.failed = make("p.failed");
    this.panel.append(this.failed);
    this.load();
    setInterval(() => document.hidden || this.load(), 5_000);
  }

  async load() {
    const found = await get(PATH).catch(() => null);
    if (found) this.#show(found.incidents);
  }

  async order(name, minutes) {
    const response = await fetch(PATH, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name, minutes }),
    }).catch(() => null);
    const what = NAMES[name] ?? name;
    setText(this.failed, response?.ok ? "" : `That did not work: ${what}. The worker does not take the order.`);
    if (!response?.ok) setText(this.announce, this.failed.textContent);
    else {
      this.#show((await response.json()).incidents);
      setText(this.announce, minutes ? `${what}: broken for ${MINUTES} minutes.` : `${what}: mended.`);
    }
  }

  #show(incidents) {
    for (const { name, what, until } of incidents) {
      if (!this.rows.has(name)) {
        const button = make("button", { type: "button", "data-incident": name, onclick: () => this.order(name, button.dataset.on ? 0 : MINUTES) });
        const text = make("p.detail");
        this.root.append(make("div.incident", {}, button, text));
        this.rows.set(name, { button, text });
      }
      const { button, text } = this.rows.get(name);
      const known = NAMES[name] ?? name;
      setText(button, until ? `Mend ${known}` : `Break ${known}`);
      setAttribute(button, "data-on", until ? "yes" : "");
      setText(text, until ? `${what}, for ${ago(until - now())} more` : what);
    }
  }
}
