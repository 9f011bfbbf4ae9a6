// The list of segments, grouped by their dimensions.

import { getAll } from "./api.js";
import { segmentName } from "./format.js";
import { known, t } from "./i18n.js";
import { Component, html } from "./ui.js";

const AGAIN_MS = 60_000;
const ORDER = ["", "channel", "region", "store_id", "channel|device", "channel|store_id"];

export class SegmentPicker extends Component {
  constructor() {
    super();
    this.state = { segments: [] };
  }

  componentDidMount() {
    this.componentDidUpdate();
  }

  componentWillUnmount() {
    clearInterval(this.timer);
  }

  componentDidUpdate() {
    if (!this.props.isOn || this.timer) return;
    this.timer = setInterval(() => document.hidden || this.load(), AGAIN_MS);
    this.load();
  }

  async load() {
    const rows = await getAll("/api/v1/segments", {}).catch(() => null);
    // A list that is open must not change under the pointer.
    if (rows && document.activeElement !== this.select) this.setState({ segments: rows.map((row) => row.segment) });
  }

  /** `none`: the name of choosing nothing, where that can be. `first`: what can be chosen besides, [value, name]. */
  render({ segment, changed, id = "segment", label = t("choice.segment"), none = null, first = [] }, { segments }) {
    const option = (name) => html`<option key=${name} value=${name}>${segmentName(name)}</option>`;
    return html`<label>${label} <select id=${id} value=${segment} ref=${(element) => (this.select = element)} onChange=${(event) => changed(event.target.value)}>
      ${none !== null && html`<option value="">${none}</option>`}
      ${first.map(([value, name]) => html`<option key=${value} value=${value}>${name}</option>`)}
      ${grouped(["all", ...segments, ...(segment && !first.some(([value]) => value === segment) ? [segment] : [])]).map(([dimensions, names]) => (dimensions === ""
        ? names.map(option)
        : html`<optgroup key=${dimensions} label=${known(`group.${dimensions}`) ?? dimensions.replaceAll("|", t("group.and"))}>${names.map(option)}</optgroup>`))}
    </select></label>`;
  }
}

function grouped(segments) {
  const groups = new Map();
  for (const segment of new Set(segments)) {
    const dimensions = segment === "all" ? "" : segment.split("|").map((part) => part.split("=")[0]).join("|");
    if (!groups.has(dimensions)) groups.set(dimensions, []);
    groups.get(dimensions).push(segment);
  }
  const place = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  return [...groups].sort(([a], [b]) => place(a) - place(b));
}
