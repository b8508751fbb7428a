import type { AllocationFile } from '../export/allocation.ts';
import { count, percent, signed, significant, whole } from './numbers.ts';
import { columns, textTable } from './table.ts';

type Accuracy = NonNullable<AllocationFile['accuracy']>;

/** float, quantized, drop, interval, samples */
export function accuracyCells(a: Accuracy): string[] {
  const value = (x: number | null) =>
    x === null ? '-' : a.metric === 'sqnr' ? `${x.toFixed(2)} dB` : percent(x);
  return [
    value(a.float),
    value(a.quantized),
    a.drop === null ? '-' : signed(a.drop),
    a.interval ? `${signed(a.interval[0])} .. ${signed(a.interval[1])}` : '-',
    whole(a.samples),
  ];
}

/** The table of layers for a terminal. */
export function layerTable(
  layers: readonly {
    name: string;
    op: string;
    parameters: number;
    macs: number;
    sigma: number;
    weights?: number;
    activations?: number;
  }[],
): string {
  const widths = layers.some(({ weights }) => weights !== undefined);
  return textTable({
    columns: columns(
      'layer',
      'op',
      '>parameters',
      '>MACs',
      '>sigma',
      ...(widths ? ['>bits', '>input bits'] : []),
    ),
    rows: layers.map((layer) => [
      layer.name,
      layer.op,
      whole(layer.parameters),
      count(layer.macs),
      significant(layer.sigma),
      ...(widths ? [String(layer.weights), String(layer.activations)] : []),
    ]),
  });
}
