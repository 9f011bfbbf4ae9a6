// Something asked for again and again while it is looked at: what was there stays until there is something newer.

import { t } from "./i18n.js";
import { Component, html } from "./ui.js";

const RETRY_MS = 5_000;

export class Loaded extends Component {
  /** Props: `ask(signal)` gives a promise, `what` names it, `everyMs`, `isPaused`, `children(found)`. */
  componentDidMount() {
    this.load();
    this.timer = setInterval(() => document.hidden || this.props.isPaused || this.load(), this.props.everyMs ?? 30_000);
  }

  componentDidUpdate(before) {
    if (before.what === this.props.what) return;
    this.setState({ found: null });
    this.load();
  }

  componentWillUnmount() {
    clearInterval(this.timer);
    clearTimeout(this.again);
    this.abort?.abort();
  }

  async load() {
    clearTimeout(this.again);
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    try {
      const found = await this.props.ask(abort.signal);
      if (abort === this.abort) this.setState({ found, isFailed: false });
    } catch (error) {
      if (error.name === "AbortError" || abort !== this.abort) return;
      this.setState({ isFailed: true });
      this.again = setTimeout(() => this.load(), RETRY_MS);
    }
  }

  render({ children }, { found = null, isFailed = false }) {
    return html`${children(found)}${isFailed && html`<p class="note failed">${t("load.failed")}</p>`}`;
  }
}
