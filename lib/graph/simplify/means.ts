import type { Draft } from '../draft.ts';
import type { Node } from '../graph.ts';
import { axisOf, listInput, number } from '../ops/operator.ts';
import type { StaticType } from '../types.ts';

/** What a pooled value in between is called: the output's name and this. */
const POOLED = '/pooled';

/** A ReduceMean over exactly the spatial axes is a GlobalAveragePool (and a Flatten, where it drops them). */
export function poolMeans(draft: Draft, types: ReadonlyMap<string, StaticType>): void {
  draft.nodes = draft.nodes.flatMap((node) =>
    node.op === 'ReduceMean' ? pooled(draft, node, types) : [node],
  );
}

function pooled(draft: Draft, node: Node, types: ReadonlyMap<string, StaticType>): Node[] {
  const [data] = node.inputs;
  const x = types.get(data);
  const inputs = node.inputs.map((name) => draft.constants.get(name) ?? null);
  const given = listInput(node, 'axes', inputs, 1);
  if (x?.dtype !== 'float32' || x.shape.length < 3 || !given) return [node];
  const axes = new Set(given.map((axis) => axisOf(node, axis, x.shape.length)));
  if (axes.size !== x.shape.length - 2 || axes.has(0) || axes.has(1)) return [node];
  const pool = { ...node, op: 'GlobalAveragePool', inputs: [data], attributes: {} };
  if (number(node, 'keepdims', 1) === 1) return [pool];
  const value = node.outputs[0] + POOLED;
  return [
    { ...pool, outputs: [value] },
    {
      name: `${node.name}/flatten`,
      op: 'Flatten',
      inputs: [value],
      outputs: node.outputs,
      attributes: { axis: 1 },
    },
  ];
}
