import type { LayerDamage, OutputDamage } from '../analysis/index.ts';
import { percent, plural, significant } from './numbers.ts';
import { columns, textTable } from './table.ts';

/** What the report of a comparison with the float network shows. */
export interface DebugReport {
  float: string;
  quantized: string;
  samples: number;
  layers: readonly LayerDamage[];
  outputs: readonly OutputDamage[];
  firstBreak: string | null;
  unmatched: { float: readonly string[]; quantized: readonly string[] };
  notes: readonly string[];
}

/** Layers named in a sentence. */
const NAMED = 8;

/** Tables of layers and outputs, then the verdict. */
export function debugText(report: DebugReport): string {
  const { layers, outputs, unmatched, notes } = report;
  return [
    `${report.quantized} against ${report.float}, ${plural(report.samples, 'sample')}`,
    '',
    textTable({
      columns: columns(
        ...['layer', 'op', '>bits', '>SQNR', '>due', '>KL', '>SQNR, all', '>KL, all'],
        ...['>float range', '>quantized range', '>saturated', ''],
      ),
      rows: layers.map(layerRow),
    }),
    '',
    textTable({
      columns: columns('output', '>SQNR', '>divergence', '>same class', '>float range', '>quantized range'),
      rows: outputs.map((output) => [
        output.name,
        decibels(output.sqnr),
        significant(output.divergence),
        output.agreement === null ? '-' : percent(100 * output.agreement, 1),
        range(output.floatRange),
        range(output.quantizedRange),
      ]),
    }),
    '',
    'bits: weights/output. SQNR in dB, KL in nats: of the layer by itself, on the inputs that the quantized network feeds it;',
    '"all": against the float network from the samples on. due: the SQNR that these widths explain by themselves.',
    '',
    breakSentence(report),
    ...unmatchedLines(unmatched),
    ...notes.map((note) => `note: ${note}`),
    '',
  ].join('\n');
}

function layerRow(layer: LayerDamage): string[] {
  const { own, endToEnd } = layer;
  return [
    layer.name,
    layer.op,
    widths(layer),
    decibels(own.sqnr),
    decibels(own.due),
    significant(own.divergence),
    decibels(endToEnd.sqnr),
    significant(endToEnd.divergence),
    range(layer.floatRange),
    range(layer.quantizedRange),
    percent(100 * layer.saturation),
    mark(layer),
  ];
}

/** `4/8`, `-/8` without weights, `8/float` where the output is not quantized. */
export function widths({ weightBits, outputBits }: LayerDamage): string {
  return `${weightBits ?? '-'}/${outputBits ?? 'float'}`;
}

export function decibels(value: number): string {
  return value.toFixed(1);
}

function range([low, high]: readonly [number, number]): string {
  return `${significant(low)} .. ${significant(high)}`;
}

function mark({ breaks, channel, spans }: LayerDamage): string {
  if (breaks !== null) return breaks === 'channel' ? `<- channel ${channel} breaks` : '<- breaks';
  return spans.length > 0 ? `with ${plural(spans.length, 'layer')} before it` : '';
}

/** One sentence on where the network goes wrong first. */
export function breakSentence({ layers, firstBreak }: Pick<DebugReport, 'layers' | 'firstBreak'>): string {
  const first = layers.find(({ name, breaks }) => name === firstBreak && breaks !== null);
  if (!first) return 'No layer breaks: each makes about the noise that its widths explain.';
  const { name, op, own, channel, breaks, saturation } = first;
  const where = `First to break: ${name} (${op})`;
  if (breaks === 'channel') return `${where}, in channel ${channel} of its output alone.`;
  if (breaks === 'saturation')
    return `${where}, whose output quantizer saturates ${percent(100 * saturation)} of the values.`;
  return `${where}, ${decibels(own.sqnr)} dB on its own inputs where its widths explain ${decibels(own.due)} dB.`;
}

function unmatchedLines({ float, quantized }: DebugReport['unmatched']): string[] {
  const line = (names: readonly string[], where: string) =>
    names.length === 0
      ? []
      : [
          `without a partner in the ${where} network: ${names.slice(0, NAMED).join(', ')}${names.length > NAMED ? ` and ${names.length - NAMED} more` : ''}`,
        ];
  return [...line(float, 'quantized'), ...line(quantized, 'float')];
}
