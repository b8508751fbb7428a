import { escaped } from './svg.ts';
import type { Column } from './table.ts';

/** Text that is HTML already. Only `html` and this file make it from strings, so nothing else can go unescaped. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** What a template takes: strings are escaped, numbers are pixels and counts, null is nothing. */
export type Content = Markup | string | number | null | readonly Content[];

/** A template whose values are escaped unless they are `Markup`. A number that is none is left out. */
export function html(parts: TemplateStringsArray, ...values: Content[]): Markup {
  return new Markup(parts.reduce((all, part, i) => all + rendered(values[i - 1]) + part));
}

function rendered(value: Content): string {
  if (value instanceof Markup) return value.text;
  if (value === null) return '';
  if (typeof value === 'string') return escaped(value);
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : '';
  return value.map(rendered).join('');
}

export const nothing = new Markup('');

/** Names up to this length stay on one line. */
const LONG = 32;

/** A name of a model, a hash. */
export const code = (name: string) =>
  html`<code${name.length > LONG ? html` class="long"` : null}>${name}</code>`;

/** Part of the page. `reading`: one sentence that says how to read it. */
export interface Section {
  id: string;
  /** In the list of contents. */
  title: string;
  reading: string;
  body: Content;
}

export function section({ id, title, reading, body }: Section): Markup {
  return html`<section id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${title}</h2>
<p class="reading">${reading}</p>
${body}
</section>
`;
}

/** Columns as `columns()` makes them. The first cell of a row names it. */
export interface DataTable {
  caption: string;
  columns: readonly Column[];
  rows: readonly (readonly Content[])[];
  style?: string;
}

/** A table that scrolls sideways by itself where the page is narrower, by keyboard too. */
export function dataTable({ caption, columns, rows, style = '' }: DataTable): Markup {
  const side = (column: number) => (columns[column].align === 'right' ? html` class="number"` : null);
  return html`<div class="scroll" role="region" aria-label="${caption}" tabindex="0"><table class="${style}">
<caption class="unseen">${caption}</caption>
<thead><tr>${columns.map(({ title }, i) => html`<th scope="col"${side(i)}>${title}</th>`)}</tr></thead>
<tbody>
${rows.map(
  ([name, ...cells]) =>
    html`<tr><th scope="row"${side(0)}>${name}</th>${cells.map((cell, i) => html`<td${side(i + 1)}>${cell}</td>`)}</tr>\n`,
)}</tbody></table></div>
`;
}

/** `alternative`: says in words and numbers what a chart shows, so paper does not need it. */
export function details(summary: string, body: Content, alternative = true): Markup {
  return html`<details${alternative ? html` class="alternative"` : null}><summary>${summary}</summary>
${body}</details>
`;
}

/** A chart that screen readers announce by title and description. `id` is unique on the page. */
export interface Chart {
  id: string;
  width: number;
  height: number;
  title: string;
  description: string;
  body: Content;
}

export function chart({ id, width, height, title, description, body }: Chart): Markup {
  return html`<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="${id}-name ${id}-text"><title id="${id}-name">${title}</title><desc id="${id}-text">${description}</desc>
${body}</svg>
`;
}
