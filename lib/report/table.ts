/** A table as plain data, rendered aligned for a terminal or for Markdown: numbers to the right, words to the left. */
export interface Column {
  title: string;
  align: 'left' | 'right';
}

export interface Table {
  columns: readonly Column[];
  rows: readonly (readonly string[])[];
}

/** `name`, or `>name` for a column of numbers. */
export function columns(...titles: string[]): Column[] {
  return titles.map((title) =>
    title.startsWith('>')
      ? { title: title.slice(1), align: 'right' as const }
      : { title, align: 'left' as const },
  );
}

function widths(table: Table, floor: number): number[] {
  return table.columns.map(({ title }, index) =>
    table.rows.reduce((width, row) => Math.max(width, row[index].length), Math.max(floor, title.length)),
  );
}

function cell(text: string, width: number, align: Column['align']): string {
  return align === 'right' ? text.padStart(width) : text.padEnd(width);
}

function line(table: Table, sizes: readonly number[], row: readonly string[], gap: string): string {
  return row.map((text, index) => cell(text, sizes[index], table.columns[index].align)).join(gap);
}

/** Two spaces between columns, a rule below the titles, no trailing blanks. */
export function textTable(table: Table): string {
  const sizes = widths(table, 0);
  const titles = table.columns.map(({ title }) => title);
  return [titles, sizes.map((size) => '-'.repeat(size)), ...table.rows]
    .map((row) => line(table, sizes, row, '  ').trimEnd())
    .join('\n');
}

/** GitHub Markdown, padded so that the source reads as a table too. */
export function markdownTable(table: Table): string {
  const escaped: Table = {
    columns: table.columns,
    rows: table.rows.map((row) => row.map((text) => text.replaceAll('|', '\\|').replaceAll('\n', ' '))),
  };
  const sizes = widths(escaped, 3);
  const rule = escaped.columns.map(({ align }, index) =>
    align === 'right' ? `${'-'.repeat(sizes[index] - 1)}:` : '-'.repeat(sizes[index]),
  );
  const titles = escaped.columns.map(({ title }) => title);
  return [
    line(escaped, sizes, titles, ' | '),
    rule.join(' | '),
    ...escaped.rows.map((row) => line(escaped, sizes, row, ' | ')),
  ]
    .map((text) => `| ${text} |`)
    .join('\n');
}
