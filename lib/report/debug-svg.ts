import type { LayerDamage } from '../analysis/index.ts';
import { breakSentence, type DebugReport, decibels, widths } from './debug-text.ts';
import { significant } from './numbers.ts';
import { escaped, round, shortened, text } from './svg.ts';

/** Pixels: one row of the chart per layer, so that names stay legible however deep the network is. */
const ROW = 22;
const TOP = 116;
const BOTTOM = 56;
const PLOT_LEAST = 520;
const RIGHT = 40;
/** Of a character of the sentence above the chart, which is bold. */
const BOLD_CHARACTER = 8;
/** Of a character of a name, on the safe side. */
const CHARACTER = 6.6;
const LONGEST_NAME = 46;
/** Decibels: axes end here, however good a layer is. */
const MOST = 60;

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .small { font-size: 11px; }
  .title { font-size: 15px; font-weight: 600; }
  .quiet { fill: #59636e; }
  .grid { stroke: #d8dee4; stroke-width: 1; }
  .background { fill: #ffffff; }
  .own { stroke: #0072b2; stroke-width: 2; stroke-opacity: 0.5; }
  .all { fill: none; stroke: #d55e00; stroke-width: 2; }
  .dot-own { fill: #0072b2; }
  .dot-all { fill: #d55e00; }
  .due { stroke: #59636e; stroke-width: 2; }
  .broken { fill: #d1242f; fill-opacity: 0.14; }
  .alarm { fill: #d1242f; font-weight: 600; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .quiet { fill: #9198a1; }
    .grid { stroke: #30363d; }
    .background { fill: #0d1117; }
    .own { stroke: #56b4e9; }
    .all { stroke: #e69f00; }
    .dot-own { fill: #56b4e9; }
    .dot-all { fill: #e69f00; }
    .due { stroke: #9198a1; }
    .broken { fill: #f85149; fill-opacity: 0.2; }
    .alarm { fill: #f85149; }
  }`;

/**
 * SQNR along the network, one row per layer from top to bottom: by itself, what its widths explain, and accumulated.
 * A self-contained SVG, readable on light and dark.
 */
export function debugSvg(report: DebugReport): string {
  const { layers } = report;
  const labels = layers.map((layer) => shortened(layer.name, LONGEST_NAME));
  const left = Math.round(24 + CHARACTER * Math.max(12, ...labels.map(({ length }) => length)) + 62);
  const bottom = TOP + ROW * layers.length;
  const sentence = breakSentence(report);
  const width = Math.max(left + PLOT_LEAST + RIGHT, 2 * 24 + BOLD_CHARACTER * sentence.length);
  const [plot, height] = [width - left - RIGHT, bottom + BOTTOM];
  const { low, high, ticks } = scale(layers);
  const x = (value: number) =>
    round(left + (plot * (Math.min(Math.max(value, low), high) - low)) / (high - low));
  const y = (row: number) => TOP + ROW * (row + 0.5);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escaped(`SQNR of ${report.quantized} along the network`)}</title>`,
    `<style>${STYLE}\n</style>`,
    `<rect class="background" width="${width}" height="${height}"/>`,
    text(24, 30, `${report.quantized} against ${report.float}, ${report.samples} samples`, 'title'),
    text(24, 54, sentence, report.firstBreak === null ? '' : 'alarm'),
    legend(24, 80),
    text(left - 66, TOP - 8, 'layer', 'small quiet', 'end'),
    text(left - 12, TOP - 8, 'bits', 'small quiet', 'end'),
    ...ticks.map(
      (tick) =>
        `<path class="grid" d="M${x(tick)} ${TOP}V${bottom}"/>${text(x(tick), bottom + 18, String(tick), 'small', 'middle')}`,
    ),
    text(left + plot / 2, bottom + 40, 'signal to quantization noise, dB (more is better)', '', 'middle'),
    ...layers.map((layer, row) =>
      band(layer, y(row), width, left, labels[row], layer.name === report.firstBreak),
    ),
    accumulated(layers, x, y),
    ...layers.map((layer, row) => marks(layer, x, y(row))),
    '</svg>\n',
  ].join('\n');
}

/** Whole tens of decibels from the worst layer to the best, at most 60. */
function scale(layers: readonly LayerDamage[]): { low: number; high: number; ticks: number[] } {
  const values = layers.flatMap(({ own, endToEnd }) => [own.sqnr, own.due, endToEnd.sqnr]);
  const high = Math.min(MOST, Math.max(20, 10 * Math.ceil(Math.max(0, ...values) / 10)));
  const low = Math.max(-20, Math.min(0, 10 * Math.floor(Math.min(0, ...values) / 10)));
  const ticks = Array.from({ length: (high - low) / 10 + 1 }, (_, i) => low + 10 * i);
  return { low, high, ticks };
}

/** Name and widths of a layer, on a red band where it breaks. */
function band(
  layer: LayerDamage,
  y: number,
  width: number,
  left: number,
  label: string,
  first: boolean,
): string {
  const background =
    layer.breaks === null
      ? ''
      : `<rect class="broken" x="12" y="${y - ROW / 2}" width="${width - 24}" height="${ROW}"/>`;
  return [
    background,
    `<path class="grid" d="M${left} ${y}H${width - RIGHT}"/>`,
    `<g><title>${escaped(tip(layer))}</title>${text(left - 66, y + 4, label, first ? 'small alarm' : 'small', 'end')}</g>`,
    text(left - 12, y + 4, widths(layer), 'small quiet', 'end'),
  ].join('');
}

function marks({ own, endToEnd }: LayerDamage, x: (value: number) => number, y: number): string {
  return [
    `<path class="own" d="M${x(own.due)} ${y}H${x(own.sqnr)}"/><path class="due" d="M${x(own.due)} ${y - 6}V${y + 6}"/>`,
    `<circle class="dot-all" cx="${x(endToEnd.sqnr)}" cy="${y}" r="3"/>`,
    `<circle class="dot-own" cx="${x(own.sqnr)}" cy="${y}" r="4.5"/>`,
  ].join('');
}

function accumulated(
  layers: readonly LayerDamage[],
  x: (value: number) => number,
  y: (row: number) => number,
): string {
  const points = layers.map(({ endToEnd }, row) => `${x(endToEnd.sqnr)} ${y(row)}`);
  return points.length === 0 ? '' : `<path class="all" d="M${points.join('L')}"/>`;
}

function legend(left: number, y: number): string {
  const entries: [mark: (x: number) => string, name: string][] = [
    [(x) => `<circle class="dot-own" cx="${x}" cy="${y - 4}" r="4.5"/>`, 'the layer by itself'],
    [(x) => `<path class="due" d="M${x} ${y - 10}V${y + 2}"/>`, 'what its widths explain'],
    [(x) => `<circle class="dot-all" cx="${x}" cy="${y - 4}" r="3"/>`, 'accumulated'],
    [(x) => `<rect class="broken" x="${x - 6}" y="${y - 10}" width="12" height="12"/>`, 'breaks'],
  ];
  let x = left + 6;
  return entries
    .map(([mark, name]) => {
      const drawn = mark(x) + text(x + 12, y, name, 'small');
      x += 36 + CHARACTER * name.length;
      return drawn;
    })
    .join('');
}

function tip({ name, op, own, endToEnd, saturation }: LayerDamage): string {
  return `${name} (${op}): ${decibels(own.sqnr)} dB by itself, ${decibels(own.due)} dB due, ${decibels(endToEnd.sqnr)} dB accumulated, ${significant(100 * saturation)} % saturated`;
}
