import { SigmaQuantError } from '../../errors.ts';
import type { Node } from '../../graph/graph.ts';
import type { GradientRule } from '../tape.ts';
import { ACTIVATION_RULES } from './activations.ts';
import { convolution, linear } from './convolution.ts';
import { add, multiply } from './elementwise.ts';
import { concat, moved, pad, view } from './movement.ts';
import { batchNormalization } from './normalization.ts';
import { averagePool, globalAveragePool, maxPool } from './pooling.ts';

/** Operators that training goes through, one row each. */
const RULES: Readonly<Record<string, GradientRule>> = {
  Conv: convolution,
  Linear: linear,
  BatchNormalization: batchNormalization,
  Add: add,
  Mul: multiply,
  Concat: concat,
  Pad: pad,
  Transpose: moved,
  Slice: moved,
  DepthToSpace: moved,
  SpaceToDepth: moved,
  Flatten: view,
  Reshape: view,
  Squeeze: view,
  Unsqueeze: view,
  Identity: view,
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: globalAveragePool,
  ...ACTIVATION_RULES,
};

/** Whether gradients pass through the operator. */
export function hasGradient(node: Node): boolean {
  return Object.hasOwn(RULES, node.op);
}

/** Throws UNSUPPORTED_OPERATOR. */
export function gradientRule(node: Node): GradientRule {
  if (hasGradient(node)) return RULES[node.op];
  throw new SigmaQuantError(
    'UNSUPPORTED_OPERATOR',
    `Expected an operator with a gradient but received ${node.op} (node ${node.name}).`,
  );
}
