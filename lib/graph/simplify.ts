import { Draft } from './draft.ts';
import type { Dimension, Graph, Port, ValueType } from './graph.ts';
import { checkConstants } from './screening.ts';
import { foldAffine } from './simplify/affine.ts';
import { dropAliases } from './simplify/aliases.ts';
import { foldBatchNorms } from './simplify/batch-norm.ts';
import { fuseClamps } from './simplify/clamps.ts';
import { foldConstants } from './simplify/constants.ts';
import { linearize } from './simplify/linear.ts';
import { poolMeans } from './simplify/means.ts';
import { normalize } from './simplify/normal-form.ts';
import { type Inferred, inferTypes } from './types.ts';

/**
 * Batches for which shapes are inferred to tell what depends on the batch: distinct primes that no other dimension is
 * likely to be confused with, since only sizes that scale with both are taken for it.
 */
const PROBES = [7, 11] as const;

/** The graph in the normal form that graph.ts describes. */
export function simplify(graph: Graph, foldBatchNorm: boolean, foldQuantized = false): Graph {
  const draft = new Draft(graph);
  dropAliases(draft);
  foldConstants(draft, PROBES, foldQuantized);
  draft.prune();
  const types = inferTypes(draft, PROBES[0]);
  normalize(draft, types);
  poolMeans(draft, types);
  linearize(draft, types);
  dropAliases(draft);
  foldAffine(draft, types);
  if (foldBatchNorm) foldBatchNorms(draft);
  fuseClamps(draft, types);
  draft.prune();
  checkConstants(draft);
  return finished(draft, graph);
}

function finished(draft: Draft, { inputs, outputs }: Graph): Graph {
  const types = symbolicTypes(draft);
  const port = (value: Port): Port => ({ name: value.name, ...(types.get(value.name) ?? value) });
  const { name, opset, nodes, constants, rawSigma } = draft;
  return {
    name,
    opset,
    inputs,
    outputs: outputs.map(port),
    nodes,
    constants,
    types,
    rawSigma,
    layout: 'onnx',
  };
}

/** Types whose sizes name the batch where they depend on it, from those that `infer` gives for one batch. */
export function symbolicTypes(graph: Inferred, infer = inferTypes): Map<string, ValueType> {
  const [a, b] = PROBES.map((batch) => infer(graph, batch));
  const symbol = graph.inputs.flatMap(({ shape }) => shape).find((size) => typeof size === 'string');
  const types = new Map<string, ValueType>();
  for (const [name, { dtype, shape }] of a) {
    const other = b.get(name);
    if (!other || other.shape.length !== shape.length) continue;
    types.set(name, {
      dtype,
      shape: shape.map((size, axis) => dimension(size, other.shape[axis], symbol as string)),
    });
  }
  return types;
}

function dimension(a: number, b: number, symbol: string): Dimension {
  if (a === b) return a;
  const times = a / PROBES[0];
  if (times !== b / PROBES[1]) return `${symbol}?`;
  return times === 1 ? symbol : `${times}*${symbol}`;
}
