// A figure: its value, its last day, and on demand what stands behind it.

import { detailOf, isMarked, shownOf, usualOf } from "./describe.js";
import { t } from "./i18n.js";
import { Spark } from "./spark.js";
import { classes, Component, html } from "./ui.js";

export class Figure extends Component {
  constructor() {
    super();
    this.state = { isOpen: false };
    this.show = () => this.setState({ isOpen: true });
    this.hide = () => this.setState({ isOpen: false });
    this.key = (event) => event.key === "Escape" && this.hide();
  }

  // Escape closes it wherever the focus is (WCAG 1.4.13).
  componentDidUpdate(_, before) {
    if (before.isOpen === this.state.isOpen) return;
    if (this.state.isOpen) document.addEventListener("keydown", this.key);
    else document.removeEventListener("keydown", this.key);
  }

  componentWillUnmount() {
    document.removeEventListener("keydown", this.key);
  }

  // A value of another length is another element: it stands at the right, and one that moved would be a layout shift.
  render({ figure, state, day, scale, until, isLead }, { isOpen }) {
    const { model, place } = state;
    const row = model.now(place.segment, figure.signal);
    const isFresh = model.isFresh(place.segment);
    const marked = isMarked(figure, place.segment, model.firing);
    const tip = `tip-${figure.signal}`;
    const shown = shownOf(figure, row, isFresh);
    const value = row ? (figure.isMoney ? null : row.value) : null;
    return html`<div class=${classes("figure", isLead && "lead")} data-signal=${figure.signal} data-empty=${String(row === null)} data-marked=${String(marked)}
        onMouseEnter=${this.show} onMouseLeave=${this.hide}>
      <button type="button" aria-describedby=${tip} aria-expanded=${String(isOpen)} onClick=${this.show} onFocus=${this.show} onBlur=${this.hide}>
        <span class="name">${figure.name}</span>
        <span class="value" key=${shown}>${shown}</span>
        ${marked && html`<span class="mark">${t("figure.marked")}</span>`}
      </button>
      <${Spark} day=${day} low=${scale.low} high=${scale.high} until=${until} now=${value} height=${isLead ? 72 : 24} />
      <div class="tip" id=${tip} role="tooltip" data-open=${String(isOpen)}>
        <p class="hint">${figure.hint}</p>
        <p class="detail">${detailOf(figure, row, isFresh, model.window ?? place.window)}</p>
        <p class="verdict">${usualOf(figure, model.usual[figure.signal], model.usual.friction?.hours, model.window ?? place.window)}</p>
        <p class="note">${t("figure.day")}${day.usual.length ? `; ${t("figure.band")}` : ""}</p>
      </div>
    </div>`;
  }
}

