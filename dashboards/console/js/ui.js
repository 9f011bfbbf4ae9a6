// Components and templates: Preact with htm, so that nothing has to be built. Text is always text, never HTML.

import { Component, Fragment, h, render } from "../vendor/preact/preact.mjs";
import htm from "../vendor/htm/htm.mjs";

export const html = htm.bind(h);
export { Component, Fragment, render };

/** Draws again only when one of its properties is another one. */
export class Pure extends Component {
  shouldComponentUpdate(next) {
    const names = new Set([...Object.keys(next), ...Object.keys(this.props)]);
    return [...names].some((name) => name !== "children" && next[name] !== this.props[name]);
  }
}

/** Boxes of the size of what will be there. */
export const Skeleton = () => html`<div class="parts" aria-hidden="true">${[1, 2, 3, 4].map((key) => html`<div key=${key} class="part skeleton"></div>`)}</div>`;

/** Class names that hold: `classes("row", isOpen && "open")`. */
export const classes = (...names) => names.filter(Boolean).join(" ");
