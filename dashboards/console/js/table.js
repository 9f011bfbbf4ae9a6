// A table of texts: a row's name and its cells, which can be moved through where it is wider than the page.

import { html } from "./ui.js";

/** `rows`: [{key, name, cells, attributes}]; `label`: the id of its heading. */
export function Table({ id, label, head, rows }) {
  return html`<div id=${id} class="panel wide" role="region" aria-labelledby=${label} tabindex="0"><table>
    <thead><tr>${head.map((name, at) => html`<th key=${at} scope="col">${name}</th>`)}</tr></thead>
    <tbody>${rows.map(({ key, name, cells, attributes = {} }) => html`<tr key=${key} ...${attributes}>
      <th scope="row">${name}</th>${cells.map((cell, at) => html`<td key=${at}>${cell}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}
