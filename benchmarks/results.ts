import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';

const RESULTS = fileURLToPath(new URL('RESULTS.md', import.meta.url));
const TITLE =
  '# Results\n\nTables made by the commands above them. Sizes in kB of 1,000 bytes, accuracies in percent.\n';

export interface Column<Row> {
  title: string;
  /** Numbers stand to the right. */
  right?: boolean;
  text(row: Row): string;
}

/** A column of numbers with this many decimals. */
export function numberColumn<Row>(title: string, digits: number, value: (row: Row) => number): Column<Row> {
  return { title, right: true, text: (row) => value(row).toFixed(digits) };
}

export function markdownTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [
    line(columns.map(({ title }) => title)),
    `|${columns.map(({ right }) => (right ? '--:' : '---')).join('|')}|`,
    ...rows.map((row) => line(columns.map((column) => column.text(row)))),
  ].join('\n');
}

/** Replaces one section of RESULTS.md, or appends it; says on what machine and commit it was made. */
export function writeResults(section: string, command: string, body: string): void {
  const text = existsSync(RESULTS) ? readFileSync(RESULTS, 'utf8') : TITLE;
  const [begin, end] = [`<!-- ${section} -->`, `<!-- end of ${section} -->`];
  const made = `${begin}\n## ${section}\n\n\`${command}\`, ${machine()}.\n\n${body}\n${end}`;
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  writeFileSync(
    RESULTS,
    from < 0 ? `${text}\n${made}\n` : text.slice(0, from) + made + text.slice(to + end.length),
  );
}

function machine(): string {
  const processors = cpus();
  return `commit ${commit()}, node ${process.versions.node}, ${processors.length} x ${processors[0]?.model.trim() ?? 'unknown processor'}`;
}

/** Short hash of HEAD, with + where files differ from it. */
function commit(): string {
  const git = (...options: string[]) =>
    execFileSync('git', options, {
      cwd: fileURLToPath(new URL('.', import.meta.url)),
      encoding: 'utf8',
    }).trim();
  try {
    return (
      git('rev-parse', '--short', 'HEAD') +
      (git('status', '--porcelain', '--', '../lib', '../native') ? '+' : '')
    );
  } catch {
    return 'unknown';
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** `3,4` as numbers; none for an empty text. */
export function numbersOf(text: string): number[] {
  return text === '' ? [] : text.split(',').map(Number);
}

/** Percentage points; empty where there are none. */
export function points(value: number | null): string {
  return value?.toFixed(2) ?? '';
}
