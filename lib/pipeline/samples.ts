import type { Dataset, Preprocessing } from '../data/dataset.ts';
import { half } from '../data/split.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Graph, Port } from '../graph/graph.ts';
import type { Host } from './host.ts';
import type { DataSource, QuantizeOptions } from './options.ts';

/** A data set, or the part of one that a role may see. */
export interface Samples {
  dataset: Dataset;
  /** Samples of this part; null where only iterating would tell. */
  size: number | null;
  select?: (index: number) => boolean;
}

/** Which samples play which role: decisions that nothing later may change. */
export interface Roles {
  calibration: Samples;
  /** What the search measures on. */
  validation: Samples;
  /** What is scored once, after the widths are frozen; null where nothing is left for it. */
  judged: Samples | null;
}

/** The one input that samples feed. Throws UNSUPPORTED_MODEL with several, or with a fixed batch above 1. */
export function sampleInput(graph: Graph): Port {
  const [input] = graph.inputs;
  if (graph.inputs.length !== 1)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected one input for samples but received ${graph.inputs.length} (${graph.inputs.map(({ name }) => name).join(', ')}).`,
    );
  const [batch] = input.shape;
  if (typeof batch === 'number' && batch > 1)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected an open batch or a batch of 1 for input ${input.name} but received ${batch}; give --input-shape ${input.name}=1x...`,
    );
  return input;
}

/** Opens a source and checks that its samples are what the network takes. Throws DATA_MISMATCH, DATA_UNREADABLE. */
export async function openSamples(
  source: DataSource,
  input: Port,
  preprocessing: Preprocessing,
  host: Pick<Host, 'openDataset'>,
): Promise<Dataset> {
  const channels = input.shape[1];
  const dataset =
    typeof source === 'string'
      ? await host.openDataset(source, {
          preprocessing,
          ...(typeof channels === 'number' ? { channels } : {}),
        })
      : source;
  const wanted = input.shape.slice(1);
  const fits =
    dataset.shape.length === wanted.length &&
    wanted.every((size, axis) => typeof size === 'string' || size === dataset.shape[axis]);
  if (!fits)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected samples of shape [${wanted.join(', ')}] for input ${input.name} but received [${dataset.shape.join(', ')}] from ${dataset.name}.`,
    );
  if (dataset.size === 0)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected at least one sample but received none from ${dataset.name}.`,
    );
  return dataset;
}

/**
 * Only `evaluate`: a seeded half validates, the other half is judged. Both: all of each. Only `validation`: nothing is
 * judged. Neither: agreement with float on the calibration data.
 */
export async function assignRoles(
  options: QuantizeOptions,
  input: Port,
  host: Pick<Host, 'openDataset'>,
): Promise<Roles> {
  const { preprocessing = {}, seed = 0 } = options;
  const open = (source: DataSource) => openSamples(source, input, preprocessing, host);
  const whole = (dataset: Dataset): Samples => ({ dataset, size: dataset.size });
  const calibration = whole(await open(options.calibration));
  const evaluate = options.evaluate === undefined ? null : await open(options.evaluate);
  if (options.validation !== undefined) {
    const validation = whole(await open(options.validation));
    return { calibration, validation, judged: evaluate && whole(evaluate) };
  }
  if (!evaluate) return { calibration, validation: calibration, judged: null };
  const split = half(seed, evaluate.size);
  if (evaluate.size === 1)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected at least two samples, to validate and to judge on, but received one from ${evaluate.name}.`,
    );
  // As `half` cuts: an odd sample is judged.
  const first = evaluate.size === null ? null : Math.floor(evaluate.size / 2);
  return {
    calibration,
    validation: { dataset: evaluate, size: first, select: split.validation },
    judged: {
      dataset: evaluate,
      size: evaluate.size === null || first === null ? null : evaluate.size - first,
      select: split.judged,
    },
  };
}
