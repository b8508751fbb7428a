import type { Widths } from '../allocate/allocate.ts';
import type { Calibration, RangeMethod } from '../analysis/analysis.ts';
import type { InputChoice } from '../analysis/index.ts';
import { quantizedValues, quantizerOf } from '../engine/index.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Graph, Layer } from '../graph/graph.ts';
import type { Quantizer } from '../quant/quantizer.ts';
import { chooseQuantizer } from '../quant/ranges.ts';
import type { LayerChoice } from './choices.ts';
import { WIDTHS } from './options.ts';

/** Widths of activations where nothing asks for fewer: the inputs of Add, Concat and pools, say. */
const OTHER_BITS = 8;

/** How values may be stored, by value and width, and how many samples said so. */
export interface Ranges {
  samples: number;
  quantizers: ReadonlyMap<string, ReadonlyMap<number, Quantizer>>;
}

/** Every value's quantizer at 8 bits and at each of `widths`. Throws INTERNAL for a value that calibration has not seen. */
export function chooseRanges(
  graph: Graph,
  calibration: Calibration,
  method: RangeMethod,
  widths: readonly number[],
): Ranges {
  const offered = [...new Set([...widths, OTHER_BITS])].sort((a, b) => a - b);
  const quantizers = quantizedValues(graph).map(({ value }) => {
    const statistics = calibration.values.get(value);
    if (!statistics)
      throw new SigmaQuantError(
        'INTERNAL',
        `Expected statistics of value ${value} but calibration has none.`,
      );
    return [
      value,
      new Map(offered.map((bits) => [bits, chooseQuantizer(statistics, bits, method)])),
    ] as const;
  });
  return { samples: calibration.samples, quantizers: new Map(quantizers) };
}

/** Quantizers of the network's values for any widths of the layers' inputs. */
export interface Quantizers {
  /** By value: as wide as the layers that read it have their input, 8 bits where none does. */
  at(widths: Widths): Map<string, Quantizer>;
  /** The quantizer of one value. */
  of(value: string, bits: number): Quantizer;
  /** Layer name -> value whose quantizer its input carries. */
  readonly owners: ReadonlyMap<string, string>;
}

export function createQuantizers(graph: Graph, layers: readonly Layer[], { quantizers }: Ranges): Quantizers {
  const owners = new Map(layers.map(({ name, input }) => [name, quantizerOf(graph, input)]));
  const of = (value: string, bits: number) => quantizers.get(value)!.get(bits)!;
  return {
    owners,
    of,
    at: (widths) => {
      const wanted = new Map<string, number>();
      for (const [name, owner] of owners) {
        const { activations } = widths.get(name)!;
        wanted.set(owner, Math.max(wanted.get(owner) ?? WIDTHS.low, activations));
      }
      return new Map(
        [...quantizers.keys()].map((value) => [value, of(value, wanted.get(value) ?? OTHER_BITS)]),
      );
    },
  };
}

/** Same text for same widths: the key of everything that depends on them alone. */
export function widthsKey(widths: Widths): string {
  return [...widths]
    .map(([layer, { weights, activations }]) => `${layer}=${weights}/${activations}`)
    .sort()
    .join(' ');
}

/** Layers whose input can be an integer; the others stay in float. */
export function quantizable(graph: Graph, layers: readonly Layer[]): Layer[] {
  const values = new Set(quantizedValues(graph).map(({ value }) => value));
  return layers.filter(({ input }) => {
    const owner = quantizerOf(graph, input);
    return owner !== null && values.has(owner);
  });
}

/** Values that layers read in more than one width, with their quantizers. */
export function inputChoices(quantizers: Quantizers, choices: readonly LayerChoice[]): InputChoice[] {
  const byValue = new Map<string, LayerChoice[]>();
  for (const choice of choices) {
    if (choice.activations.length < 2) continue;
    const owner = quantizers.owners.get(choice.name)!;
    byValue.set(owner, [...(byValue.get(owner) ?? []), choice]);
  }
  return [...byValue].map(([value, readers]) => ({
    value,
    layers: readers.map(({ name }) => name),
    quantizers: new Map(readers[0].activations.map((bits) => [bits, quantizers.of(value, bits)])),
  }));
}
