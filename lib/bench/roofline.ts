import { significant } from '../report/numbers.ts';
import { type Axis, escaped, logAxis, round, text } from '../report/svg.ts';
import type { BenchResult } from './bench.ts';
import type { LimitRow } from './rows.ts';
import { SURVEY_BYTES } from './shapes.ts';
import { machineName, type Row } from './trial.ts';

/** A point of the chart. `intensity`: operations per byte, every array once. */
export interface RooflinePoint {
  row: Row;
  intensity: number;
}

const PANEL = { width: 960, height: 560, left: 70, right: 190, top: 76, bottom: 60 };
/** Colours that stay apart on white and on black: Okabe and Ito, without black and yellow. */
const COLOURS = ['#0072b2', '#56b4e9', '#009e73', '#8a9a00', '#e69f00', '#d55e00', '#cc79a7', '#7f7f7f'];
const WIDTHS = [2, 3, 4, 5, 6, 7, 8, 32];
const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .small { font-size: 11px; }
  .title { font-size: 15px; font-weight: 600; }
  .grid { stroke: #d8dee4; stroke-width: 1; }
  .roof { stroke: #1f2328; stroke-width: 1.5; fill: none; }
  .memory { stroke-dasharray: 6 4; }
  .background { fill: #ffffff; }
  .point { stroke: #ffffff; stroke-width: 1; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .grid { stroke: #30363d; }
    .roof { stroke: #e6edf3; }
    .background { fill: #0d1117; }
    .point { stroke: #0d1117; }
  }`;
/** Marks of the ops. */
const MARKS: Record<string, (x: number, y: number) => string> = {
  gemm: (x, y) => `<circle cx="${x}" cy="${y}" r="5"`,
  gemv: (x, y) => `<path d="M${x} ${y - 6}L${x + 6} ${y + 5}H${x - 6}Z"`,
  conv: (x, y) => `<rect x="${x - 4.5}" y="${y - 4.5}" width="9" height="9"`,
  depthwise: (x, y) => `<path d="M${x} ${y - 6.5}L${x + 6.5} ${y}L${x} ${y + 6.5}L${x - 6.5} ${y}Z"`,
};

/**
 * GOPS against operations per byte, both logarithmic: one panel per machine with the measured limits as roofs. A
 * self-contained SVG, readable on light and dark.
 */
export function rooflineSvg(
  result: Pick<BenchResult, 'limits' | 'computer'>,
  points: readonly RooflinePoint[],
): string {
  const machines = [...new Set(points.map(({ row }) => machineName(row)))];
  const panels = machines.map((name, i) => panel(result, name, points, i * PANEL.height));
  const height = Math.max(1, machines.length) * PANEL.height;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${PANEL.width} ${height}" width="${PANEL.width}" height="${height}" role="img">`,
    `<title>Roofline of the kernels on ${escaped(result.computer.processor)}</title>`,
    `<style>${STYLE}\n</style>`,
    `<rect class="background" width="${PANEL.width}" height="${height}"/>`,
    ...panels,
    '</svg>\n',
  ].join('\n');
}

function panel(
  { limits, computer }: Pick<BenchResult, 'limits' | 'computer'>,
  name: string,
  all: readonly RooflinePoint[],
  top: number,
): string {
  const points = all.filter(({ row }) => machineName(row) === name);
  const own = limits.filter((limit) => machineName(limit) === name);
  const roofs = own.filter(({ limit }) => limit === 'peak');
  const memory = own.filter(
    ({ limit, bytes }) => limit === 'read' && (bytes === SURVEY_BYTES.small || bytes === SURVEY_BYTES.large),
  );
  const intensities = points.map(({ intensity }) => intensity);
  const rates = [...points.map(({ row }) => row.gops!), ...roofs.map(({ gops }) => gops!)];
  const [right, bottom] = [PANEL.width - PANEL.right, top + PANEL.height - PANEL.bottom];
  const x = logAxis(
    Math.min(...intensities, 1) / 1.5,
    Math.max(...intensities) * 1.5,
    PANEL.left,
    right,
    [1, 3],
  );
  const y = logAxis(Math.min(...rates) / 1.6, Math.max(...rates) * 1.5, bottom, top + PANEL.top, [1, 2, 5]);
  const [backend, isa, threads] = name.split(' ');
  return [
    text(
      PANEL.left,
      top + 26,
      `${backend} ${isa}, ${threads} thread${threads === '1' ? '' : 's'}, ${computer.processor}`,
      'title',
    ),
    legend(points, top + 52),
    ...x.ticks.map(
      (tick) =>
        `<path class="grid" d="M${x.at(tick)} ${top + PANEL.top}V${bottom}"/>${text(x.at(tick), bottom + 18, significant(tick, 1), 'small', 'middle')}`,
    ),
    ...y.ticks.map(
      (tick) =>
        `<path class="grid" d="M${PANEL.left} ${y.at(tick)}H${right}"/>${text(PANEL.left - 8, y.at(tick) + 4, significant(tick, 1), 'small', 'end')}`,
    ),
    text((PANEL.left + right) / 2, bottom + 42, 'operations per byte, every array once', '', 'middle'),
    `<text text-anchor="middle" transform="translate(20 ${(top + PANEL.top + bottom) / 2}) rotate(-90)">GOPS</text>`,
    ...memory.map((limit) => memoryRoof(limit, x, y)),
    ...peakRoofs(roofs, x, y, right),
    ...points.map(({ row, intensity }) => mark(row, x.at(intensity), y.at(row.gops!))),
  ].join('\n');
}

/** A bandwidth as a line of slope 1, as far as it lies within the panel. */
function memoryRoof({ gbps, bytes }: LimitRow, x: Axis, y: Axis): string {
  const rate = gbps!;
  const from = Math.max(x.low, y.low / rate);
  const to = Math.min(x.high, y.high / rate);
  if (from >= to) return '';
  const angle = (Math.atan2(y.at(to * rate) - y.at(from * rate), x.at(to) - x.at(from)) * 180) / Math.PI;
  const label = `read ${bytes === SURVEY_BYTES.small ? '256 KB' : '64 MB'}: ${significant(rate)} GB/s`;
  const middle = Math.exp(0.35 * Math.log(to) + 0.65 * Math.log(from));
  return [
    `<path class="roof memory" d="M${x.at(from)} ${y.at(from * rate)}L${x.at(to)} ${y.at(to * rate)}"/>`,
    `<text class="small" text-anchor="middle" transform="translate(${x.at(middle)} ${y.at(middle * rate)}) rotate(${round(angle)}) translate(0 -6)">${label}</text>`,
  ].join('');
}

/** Peaks that differ by less than this are one line. */
const SAME_PEAK = 0.05;
const LABEL_PIXELS = 15;

/** Horizontal lines, labelled at the right; labels that would overlap move down. */
function peakRoofs(limits: readonly LimitRow[], x: Axis, y: Axis, right: number): string[] {
  const lines: { gops: number; widths: number[] }[] = [];
  for (const { gops, bits } of limits.toSorted((a, b) => b.gops! - a.gops!)) {
    const last = lines.at(-1);
    if (last && last.gops / gops! < 1 + SAME_PEAK) last.widths.push(bits!);
    else lines.push({ gops: gops!, widths: [bits!] });
  }
  let free = Number.NEGATIVE_INFINITY;
  return lines.map(({ gops, widths }) => {
    const height = Math.max(y.at(gops), free);
    free = height + LABEL_PIXELS;
    return `<path class="roof" d="M${x.at(x.low)} ${y.at(gops)}H${right}"/>${text(right + 8, height + 4, `${peakNames(widths)}: ${significant(gops)} GOPS`, 'small')}`;
  });
}

/** `2 to 4 bits`, `8 bits, float` */
function peakNames(widths: readonly number[]): string {
  const integers = widths.filter((bits) => bits !== 32).toSorted((a, b) => a - b);
  const runs: [number, number][] = [];
  for (const bits of integers) {
    const last = runs.at(-1);
    if (last && last[1] === bits - 1) last[1] = bits;
    else runs.push([bits, bits]);
  }
  const names = runs.map(([low, high]) => (low === high ? `${low}` : `${low} to ${high}`));
  return [
    ...(names.length > 0 ? [`${names.join(', ')} bits`] : []),
    ...(widths.includes(32) ? ['float'] : []),
  ].join(', ');
}

const colourOf = (bits: number) => COLOURS[WIDTHS.indexOf(bits)];

function mark(row: Row, x: number, y: number): string {
  const title = `${row.op} ${row.shape}, ${row.bits} bits, ${row.activations}: ${significant(row.gops!)} GOPS`;
  return `${MARKS[row.op](x, y)} class="point" fill="${colourOf(row.bits)}"><title>${escaped(title)}</title></${tagOf(MARKS[row.op](0, 0))}>`;
}

const tagOf = (opened: string) => /^<(\w+)/.exec(opened)![1];

/** Widths by colour and ops by mark, as far as they occur. */
function legend(points: readonly RooflinePoint[], y: number): string {
  const parts: string[] = [];
  let x = PANEL.left + 6;
  for (const op of Object.keys(MARKS).filter((name) => points.some(({ row }) => row.op === name))) {
    parts.push(`${MARKS[op](x, y - 4)} class="point" fill="${COLOURS[7]}"/>`, text(x + 11, y, op, 'small'));
    x += 32 + 7 * op.length;
  }
  x += 14;
  for (const bits of WIDTHS.filter((width) => points.some(({ row }) => row.bits === width))) {
    const name = bits === 32 ? 'float' : `${bits} bits`;
    parts.push(
      `<rect x="${x - 5}" y="${y - 9}" width="10" height="10" fill="${colourOf(bits)}"/>`,
      text(x + 10, y, name, 'small'),
    );
    x += 26 + 6.5 * name.length;
  }
  return parts.join('');
}
