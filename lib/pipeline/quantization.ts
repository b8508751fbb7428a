import type { Widths } from '../allocate/allocate.ts';
import type { Calibration, RangeMethod } from '../analysis/analysis.ts';
import { quantizedValues, quantizerOf } from '../engine/index.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Graph, Layer } from '../graph/graph.ts';
import type { Quantizer } from '../quant/quantizer.ts';
import { chooseQuantizer } from '../quant/ranges.ts';
import { DEFAULT_BITS, END_BITS, offeredBits, type SearchOptions, WIDTHS } from './options.ts';

/** Widths of activations where nothing asks for fewer: the inputs of Add, Concat and pools, say. */
const OTHER_BITS = 8;

/** What widths a layer may take, and how its input is stored; fixed before any search. */
export interface LayerChoice {
  name: string;
  bits: readonly number[];
  activations: number;
}

/**
 * Offered widths of each layer: a pin wins, then 8 bits for the first and the last layer unless freed, then `bits`.
 * Throws INVALID_ARGUMENT for a pin of a layer that is not there.
 */
export function layerChoices(layers: readonly Layer[], options: SearchOptions): LayerChoice[] {
  const bits = offeredBits(options.bits ?? DEFAULT_BITS);
  const pins = options.pins ?? {};
  for (const name of Object.keys(pins))
    if (!layers.some((layer) => layer.name === name))
      throw new SigmaQuantError(
        'INVALID_ARGUMENT',
        `Expected a layer's name for pin but received ${JSON.stringify(name)} (inspect lists them).`,
      );
  const activations = options.activationBits ?? OTHER_BITS;
  return layers.map(({ name }, index) => {
    const end = !options.freeEnds && (index === 0 || index === layers.length - 1);
    const offered = Object.hasOwn(pins, name) ? [pins[name]] : end ? [END_BITS] : bits;
    return { name, bits: offered, activations: end ? Math.max(END_BITS, activations) : activations };
  });
}

/** A quantizer for every value that needs one: as wide as the widest of the layers that read it wants. */
export function chooseQuantizers(
  graph: Graph,
  layers: readonly Layer[],
  choices: readonly LayerChoice[],
  calibration: Calibration,
  method: RangeMethod,
): Map<string, Quantizer> {
  const wanted = new Map<string, number>();
  layers.forEach((layer, index) => {
    const owner = quantizerOf(graph, layer.input);
    if (owner === null) return;
    wanted.set(owner, Math.max(wanted.get(owner) ?? WIDTHS.low, choices[index].activations));
  });
  const quantizers = new Map<string, Quantizer>();
  for (const { value } of quantizedValues(graph)) {
    const statistics = calibration.values.get(value);
    if (!statistics)
      throw new SigmaQuantError(
        'INTERNAL',
        `Expected statistics of value ${value} but calibration has none.`,
      );
    quantizers.set(value, chooseQuantizer(statistics, wanted.get(value) ?? OTHER_BITS, method));
  }
  return quantizers;
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

/** Layer name -> scale of the quantizer that its input carries. */
export function inputScales(
  graph: Graph,
  layers: readonly Layer[],
  quantizers: ReadonlyMap<string, Quantizer>,
): Map<string, number> {
  return new Map(layers.map(({ name, input }) => [name, quantizers.get(quantizerOf(graph, input)!)!.scale]));
}
