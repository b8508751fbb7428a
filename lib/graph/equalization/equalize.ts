import type { Graph } from '../graph.ts';
import { channelFlow } from './channel-flow.ts';
import { channelLayers, withLayers } from './channel-layers.ts';
import type { ChannelStatistics } from './channel-statistics.ts';
import { type ScaleSource, scaleChannels } from './scales.ts';
import { shiftChannels } from './shifts.ts';

export interface EqualizeOptions {
  /** Make channels 0 that are constant, where every reader can take their constant over. Default true. */
  constants?: boolean;
  /** Give channels of values without activation function a mean of 0. Needs statistics. Default false. */
  centre?: boolean;
  /**
   * Scale channels: those that depthwise layers read, by what calibration data showed (the default); all, by the
   * weights alone, as Nagel et al. 2019 do; or none.
   */
  scales?: ScaleSource | 'none';
  /** Awaited after every layer with the work done, in multiply-adds; what it rejects with ends the work. */
  pace?: (work: number) => Promise<void>;
}

export interface Equalization {
  graph: Graph;
  /** By value, (value - shift) * factor takes its place, per channel; absent where nothing changed. */
  shifts: ReadonlyMap<string, Float64Array>;
  factors: ReadonlyMap<string, Float64Array>;
}

/**
 * Cross-layer equalisation (Nagel et al., "Data-free quantization through weight equalization and bias correction",
 * ICCV 2019) of a graph in ONNX form: moves scales and constants of channels from the layers that make them to those
 * that read them, so that the channels of a value can share one quantizer. The function of the float network stays the
 * same but for float32 rounding, on all inputs: bounds such as the 6 of Clip(0, 6) end a chain, as do network inputs
 * and outputs and operators that mix channels.
 *
 * `statistics` are those of the same graph's values, by name; without them only what the weights say is done.
 */
export async function equalize(
  graph: Graph,
  statistics: ReadonlyMap<string, ChannelStatistics> | null,
  { constants = true, centre = false, scales = 'data', pace = async () => {} }: EqualizeOptions = {},
): Promise<Equalization> {
  const layers = channelLayers(graph);
  const before = new Map(
    [...layers].map(([name, { weights, bias }]) => [name, [weights.slice(), bias.slice()]]),
  );
  const flow = channelFlow(graph, layers);
  const shifts = await shiftChannels(graph, flow, statistics, { constants, centre, pace });
  const shifted = statistics && afterShifts(statistics, shifts);
  const factors = scales === 'none' ? new Map() : await scaleChannels(graph, flow, shifted, scales, pace);
  const changed = new Map(
    [...layers].filter(([name, { weights, bias }]) => {
      const [w, b] = before.get(name)!;
      return weights.some((value, i) => value !== w[i]) || bias.some((value, i) => value !== b[i]);
    }),
  );
  return { graph: withLayers(graph, changed), shifts, factors };
}

/** Values whose statistics `equalize` asks for: what layers and operators between them make of channels. */
export function equalizedValues(graph: Graph): string[] {
  const layers = channelLayers(graph);
  const { counts, passage } = channelFlow(graph, layers);
  return graph.nodes
    .filter((node) => layers.has(node.name) || passage(node))
    .flatMap(({ outputs }) => outputs.filter((value) => counts.has(value)));
}

function afterShifts(
  statistics: ReadonlyMap<string, ChannelStatistics>,
  shifts: ReadonlyMap<string, Float64Array>,
): Map<string, ChannelStatistics> {
  return new Map(
    [...statistics].map(([value, known]) => {
      const shift = shifts.get(value);
      return [value, shift ? afterShift(known, shift) : known];
    }),
  );
}

function afterShift({ min, max, mean, power }: ChannelStatistics, shift: Float64Array): ChannelStatistics {
  return {
    min: min.map((value, i) => value - shift[i]),
    max: max.map((value, i) => value - shift[i]),
    mean: mean.map((value, i) => value - shift[i]),
    power: power.map((value, i) => Math.max(value - 2 * shift[i] * mean[i] + shift[i] ** 2, 0)),
  };
}
