import { create, toBinary } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type FileModel,
  type FileNode,
  ModelProtoSchema,
  NodeProtoSchema,
  readModel,
  writeModel,
} from '../../lib/onnx/index.ts';
import { CLASSES, random, SAMPLE, tinyModel, weights } from '../support/network.ts';

/** Networks with operators that our engine lacks and onnxruntime has. */

const PATCH = 16;
const TOKENS = 16;
const WIDTH = 16;

function node(
  op: string,
  inputs: readonly string[],
  output: string,
  attributes: FileNode['attributes'] = {},
  domain = '',
): FileNode {
  return { name: output, op, inputs, outputs: [output], attributes, ...(domain ? { domain } : {}) };
}

/** A whole number where the operator wants a float: the file must say which. */
const quickGelu = (input: string, output: string): FileNode => ({
  ...node('QuickGelu', [input], output, { alpha: 1 }, 'com.microsoft'),
  floats: ['alpha'],
});

/** The tiny convolutional network with a pool of single values before its third layer and another activation at the end. */
export function convolutionalModel(): Uint8Array {
  return tinyModel(({ nodes }) => ({
    domains: new Map([['com.microsoft', 1]]),
    nodes: nodes.flatMap((given) => {
      if (given.name === 'conv3')
        return [
          node('LpPool', ['e'], 'normal', { kernel_shape: [1, 1] }),
          { ...given, inputs: ['normal', ...given.inputs.slice(1)] },
        ];
      return given.name === 'i' ? [quickGelu('h', 'i')] : [given];
    }),
  }));
}

/** Patches, one attention head, a perceptron and a classifier: 8 layers, of which 6 work on sequences. */
export function transformerModel(): Uint8Array {
  const next = random(11);
  const linear = (name: string, input: string, output: string): FileNode[] => [
    node('MatMul', [input, `${name}.w`], `${name}.product`),
    node('Add', [`${name}.product`, `${name}.b`], output),
  ];
  const parameters = (name: string, from: number, to: number) => [
    weights(`${name}.w`, [from, to], next),
    weights(`${name}.b`, [to], next),
  ];
  const model: FileModel = {
    irVersion: 8,
    opset: 17,
    domains: new Map([['com.microsoft', 1]]),
    name: 'transformer',
    inputs: [{ name: 'image', dtype: 'float32', shape: ['batch', ...SAMPLE] }],
    outputs: [{ name: 'logits', dtype: 'float32', shape: ['batch', CLASSES] }],
    initializers: [
      weights('patch.w', [PATCH, 3, 2, 2], next),
      weights('patch.b', [PATCH], next),
      ...['query', 'key', 'value', 'out'].flatMap((name) => parameters(name, WIDTH, WIDTH)),
      ...parameters('expand', WIDTH, 2 * WIDTH),
      ...parameters('shrink', 2 * WIDTH, WIDTH),
      ...parameters('classify', WIDTH, CLASSES),
      {
        name: 'sequence',
        tensor: { dtype: 'int64', shape: [3], data: BigInt64Array.of(0n, BigInt(PATCH), BigInt(TOKENS)) },
      },
    ],
    nodes: [
      node('Conv', ['image', 'patch.w', 'patch.b'], 'patches', { kernel_shape: [2, 2], strides: [2, 2] }),
      node('Reshape', ['patches', 'sequence'], 'columns'),
      node('Transpose', ['columns'], 'tokens', { perm: [0, 2, 1] }),
      node('LpPool', ['tokens'], 'normal', { kernel_shape: [1] }),
      ...linear('query', 'normal', 'q'),
      ...linear('key', 'normal', 'k'),
      ...linear('value', 'normal', 'v'),
      node('Transpose', ['k'], 'kt', { perm: [0, 2, 1] }),
      node('MatMul', ['q', 'kt'], 'products'),
      node('Softmax', ['products'], 'attention', { axis: -1 }),
      node('MatMul', ['attention', 'v'], 'mixed'),
      ...linear('out', 'mixed', 'attended'),
      node('Add', ['attended', 'tokens'], 'residual'),
      ...linear('expand', 'residual', 'wide'),
      quickGelu('wide', 'active'),
      ...linear('shrink', 'active', 'narrow'),
      node('Add', ['narrow', 'residual'], 'sum'),
      node('ReduceMean', ['sum'], 'mean', { axes: [1], keepdims: 0 }),
      ...linear('classify', 'mean', 'logits'),
    ],
  };
  return writeModel(model);
}

/** A model with an operator that changes nothing behind three of its Relus: LpPool of single values above zero. */
export function withPools(bytes: Uint8Array): Uint8Array {
  const { INT, INTS } = AttributeProto_AttributeType;
  const model = readModel(bytes);
  const nodes = model.graph!.node;
  const relus = nodes.filter(({ opType }) => opType === 'Relu');
  for (const relu of [relus[2], relus[Math.floor(relus.length / 2)], relus.at(-2)!]) {
    const [value] = relu.output;
    const before = `${value}_before`;
    relu.output = [before];
    const attribute = [
      create(AttributeProtoSchema, { name: 'kernel_shape', type: INTS, ints: [1n, 1n] }),
      create(AttributeProtoSchema, { name: 'p', type: INT, i: 1n }),
    ];
    const pool = { name: `${value}_pool`, opType: 'LpPool', input: [before], output: [value], attribute };
    nodes.splice(nodes.indexOf(relu) + 1, 0, create(NodeProtoSchema, pool));
  }
  return toBinary(ModelProtoSchema, model);
}
