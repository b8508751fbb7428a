import type { Graph, Layer, Node } from '../graph/graph.ts';
import { type StaticType, sizeOf } from '../graph/index.ts';
import type { StepFeature, StepKind } from './device.ts';

/** One step of a program that is no layer. */
export interface NetworkStep {
  /** Node; empty for what feeds need. */
  node: string;
  kind: StepKind;
  features: Readonly<Record<StepFeature, number>>;
}

const KINDS: Readonly<Record<string, StepKind>> = {
  Add: 'add',
  Concat: 'concat',
  MaxPool: 'pool',
  AveragePool: 'average',
  GlobalAveragePool: 'average',
  Transpose: 'move',
  Pad: 'move',
  Slice: 'move',
  Split: 'move',
  DepthToSpace: 'move',
  SpaceToDepth: 'move',
};
/** Nothing runs for these. */
const FREE = new Set(['Flatten', 'Reshape', 'Squeeze', 'Unsqueeze', 'Identity', 'Constant']);

/**
 * Everything that a program does beside the layers, for one sample: inputs are quantized, Add, Concat, pools and
 * moves; `other` is what is left to plain evaluation.
 */
export function networkSteps(
  graph: Graph,
  types: ReadonlyMap<string, StaticType>,
  layers: readonly Layer[],
): NetworkStep[] {
  const own = new Set(layers.map(({ name }) => name));
  const elements = (value: string) => sizeOf(types.get(value)?.shape ?? [0]);
  const quantize = graph.inputs.map(
    ({ name }): NetworkStep => ({
      node: '',
      kind: 'quantize',
      features: features({ inputs: elements(name), outputs: elements(name) }),
    }),
  );
  const rest = graph.nodes
    .filter(({ name, op }) => !own.has(name) && !FREE.has(op))
    .map((node): NetworkStep => {
      const read = node.inputs.filter((input) => !graph.constants.has(input)).map(elements);
      const inputs = read.reduce((sum, count) => sum + count, 0);
      const outputs = node.outputs.reduce((sum, output) => sum + elements(output), 0);
      return {
        node: node.name,
        kind: KINDS[node.op] ?? 'other',
        features: features({ inputs, outputs, patches: outputs * windowOf(node) }),
      };
    });
  return [...quantize, ...rest];
}

/** Taps of a pool; 0 for what has no window. */
function windowOf({ attributes }: Node): number {
  const kernel = attributes['kernel_shape'] as readonly number[] | undefined;
  return kernel ? sizeOf(kernel) : 0;
}

function features(some: Partial<Record<StepFeature, number>>): Record<StepFeature, number> {
  return { step: 1, macs: 0, inputs: 0, patches: 0, outputs: 0, weights: 0, ...some };
}
