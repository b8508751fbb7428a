import type { WorkOptions } from '../analysis/analysis.ts';
import { channelStatistics, createPace } from '../analysis/index.ts';
import type { Dataset } from '../data/dataset.ts';
import { equalize, equalizedValues, layers, toChannelsLast, withOrigins } from '../graph/index.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { Executable } from './model.ts';
import { END_BITS, offeredActivations, type SearchOptions } from './options.ts';

export interface EqualizationSource {
  options: SearchOptions;
  kernels: Kernels;
  data: Dataset;
  samples: number;
  batch: number;
  work: WorkOptions;
}

/**
 * The network with scales moved between its channels (docs/equalization.md) where activations may be narrower than 8
 * bits: there the channels of a value share so few levels that it pays. The same float function; as it is otherwise, and
 * with another executor, which runs the file as it came.
 */
export async function equalized(opened: Executable, source: EqualizationSource): Promise<Executable> {
  const { options, kernels, data, samples, batch, work } = source;
  const [narrowest] = offeredActivations(options.activationBits);
  if (narrowest >= END_BITS || opened.executor.name !== 'engine') return opened;
  const { model } = opened;
  const values = equalizedValues(model.graph);
  const statistics = await channelStatistics(withOrigins(model.graph), values, kernels, data, {
    ...work,
    samples,
    batch,
  });
  const { graph } = await equalize(model.graph, statistics, { pace: createPace(work.signal) });
  return { ...opened, model: { ...model, graph, layers: layers(graph) }, graph: toChannelsLast(graph) };
}
