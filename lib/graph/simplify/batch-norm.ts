import type { Draft } from '../draft.ts';
import type { Node, Tensor } from '../graph.ts';
import { number } from '../ops/operator.ts';
import { floatTensor, numbers } from '../tensors.ts';
import { isLayer } from './affine.ts';

/**
 * Folds batch-norms into the Conv or Linear before them: w' = w * s, b' = (b - mean) * s + shift with
 * s = scale / sqrt(variance + epsilon), in float64. Keeps sigma of the weights as they were.
 */
export function foldBatchNorms(draft: Draft): void {
  const uses = draft.uses();
  const producers = draft.producers();
  const replaced = new Map<Node, Node>();
  const dropped = new Set<Node>();
  for (const norm of draft.nodes) {
    if (norm.op !== 'BatchNormalization' || number(norm, 'training_mode', 0) === 1) continue;
    const [value] = norm.inputs;
    const layer = producers.get(value);
    if (
      !layer ||
      replaced.has(layer) ||
      !isLayer(draft, layer) ||
      uses.get(value) !== 1 ||
      draft.isOutput(value)
    )
      continue;
    const parameters = norm.inputs.slice(1).map((name) => draft.constants.get(name));
    const weights = draft.constants.get(layer.inputs[1])!;
    if (parameters.some((tensor) => tensor?.data.length !== weights.shape[0])) continue;
    const bias = draft.constants.get(layer.inputs[2] ?? '') ?? null;
    const folded = fold(weights, bias, parameters as Tensor[], number(norm, 'epsilon', 1e-5));
    draft.rawSigma.set(layer.name, sigmaOf(weights.data as Float32Array));
    const w = draft.replace(layer.inputs[1], folded.weights, layer, uses);
    const b = draft.store(`${layer.name}.bias`, folded.bias);
    replaced.set(layer, { ...layer, inputs: [layer.inputs[0], w, b], outputs: norm.outputs });
    dropped.add(norm);
  }
  draft.nodes = draft.nodes.filter((node) => !dropped.has(node)).map((node) => replaced.get(node) ?? node);
}

function fold(weights: Tensor, bias: Tensor | null, parameters: readonly Tensor[], epsilon: number) {
  const [scale, shift, mean, variance] = parameters.map(numbers);
  const from = numbers(weights);
  const channels = weights.shape[0];
  const per = from.length / channels;
  const w = new Float32Array(from.length);
  const b = new Float32Array(channels);
  const before = bias ? numbers(bias) : new Float32Array(channels);
  for (let c = 0; c < channels; c++) {
    const factor = scale[c] / Math.sqrt(variance[c] + epsilon);
    for (let i = c * per; i < (c + 1) * per; i++) w[i] = from[i] * factor;
    b[c] = (before[c] - mean[c]) * factor + shift[c];
  }
  return { weights: floatTensor(weights.shape, w), bias: floatTensor([channels], b) };
}

/** Population standard deviation. */
function sigmaOf(x: Float32Array): number {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  return Math.sqrt(x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length);
}
