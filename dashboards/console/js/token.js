// The token is asked for once, and kept by the server in a cookie that no script reads.

import { t } from "./i18n.js";
import { Component, html } from "./ui.js";

export class Token extends Component {
  componentDidMount() {
    this.dialog.showModal();
  }

  render({ open }) {
    const given = (event) => {
      event.preventDefault();
      open(this.input.value);
    };
    return html`<dialog id="token" aria-labelledby="token-title" ref=${(element) => (this.dialog = element)} onCancel=${(event) => event.preventDefault()}>
      <form onSubmit=${given}>
        <h2 id="token-title">${t("token.title")}</h2>
        <label>${t("token.label")} <input type="password" autocomplete="current-password" ref=${(element) => (this.input = element)} /></label>
        <button type="submit">${t("token.open")}</button>
      </form>
    </dialog>`;
  }
}
