import type { Attribute, Node } from '../graph/graph.ts';
import { clipLimits, type Emission, emitResult, requantizes, unquantizedName } from './emission.ts';
import { floatScalar, int64 } from './file-model.ts';
import { checkSince, convertNode } from './opset.ts';
import { rankOf, transposed } from './orientation.ts';

type Attributes = Readonly<Record<string, Attribute>>;
type Row = (emission: Emission, node: Node) => { op: string; extra: string[]; attributes: Attributes };

/** The normal operators of graph.ts in their ONNX form; `extra` are inputs that the graph holds as attributes. */
const ROWS: Partial<Record<string, Row>> = {
  Conv: ({ graph }, { attributes, inputs }) => {
    const { clamp: _, ...rest } = attributes;
    const weights = graph.constants.get(inputs[1]);
    return {
      op: 'Conv',
      extra: [],
      attributes: weights ? { ...rest, kernel_shape: weights.shape.slice(2) } : rest,
    };
  },
  Linear: () => ({ op: 'Gemm', extra: [], attributes: { transB: 1 } }),
  Add: () => ({ op: 'Add', extra: [], attributes: {} }),
  Relu: () => ({ op: 'Relu', extra: [], attributes: {} }),
  Clip: ({ file }, { name, attributes }) => ({
    op: 'Clip',
    extra: clipLimits(name, attributes['clamp'] as readonly number[], (text, tensor) =>
      file.tensor(text, tensor),
    ),
    attributes: {},
  }),
  MaxPool: (_, { attributes }) => ({
    op: 'MaxPool',
    extra: [],
    attributes: pick(attributes, ['kernel_shape', 'strides', 'dilations', 'pads', 'ceil_mode']),
  }),
  AveragePool: (_, { attributes }) => {
    const dilated = (attributes['dilations'] as readonly number[] | undefined)?.some((size) => size !== 1);
    const names = ['kernel_shape', 'strides', 'pads', 'ceil_mode', 'count_include_pad'];
    return {
      op: 'AveragePool',
      extra: [],
      attributes: pick(attributes, dilated ? [...names, 'dilations'] : names),
    };
  },
  Pad: ({ file }, { name, attributes }) => ({
    op: 'Pad',
    extra: [
      file.tensor(`${name}_pads`, int64(...(attributes['pads'] as readonly number[]))),
      ...(attributes['mode'] === undefined || attributes['mode'] === 'constant'
        ? [file.tensor(`${name}_value`, floatScalar((attributes['value'] as number | undefined) ?? 0))]
        : []),
    ],
    attributes: { mode: attributes['mode'] ?? 'constant' },
  }),
  Reshape: ({ file }, { name, attributes }) => ({
    op: 'Reshape',
    extra: [file.tensor(`${name}_shape`, int64(...(attributes['shape'] as readonly number[])))],
    attributes: {},
  }),
};

function pick(attributes: Attributes, names: readonly string[]): Attributes {
  return Object.fromEntries(
    names.filter((name) => name in attributes).map((name) => [name, attributes[name]]),
  );
}

/** A node that is no quantized layer: float between what its inputs and outputs are in the file. */
export function emitNode(emission: Emission, node: Node): void {
  const { file } = emission;
  checkSince(emission, node);
  if (node.op === 'Linear' && emitWideLinear(emission, node)) return;
  const row = ROWS[node.op];
  const converted = row ? null : convertNode(emission, node);
  const { op, extra, attributes } = row ? row(emission, node) : converted!;
  const inputs = [
    ...(converted ? converted.inputs : node.inputs).map((name) => emission.read(name)),
    ...extra,
  ];
  const clamp =
    node.op === 'Clip' || node.op === 'Relu' ? undefined : (node.attributes['clamp'] as readonly number[]);
  const [domain, type] = splitDomain(op);
  const rest = node.outputs
    .slice(1)
    .map((value) => ({ value, float: unquantizedName(emission, node, value) }));
  emitResult(emission, node, row ? clamp : undefined, (output) =>
    file.node(type, node, inputs, [output, ...rest.map(({ float }) => float)], attributes, domain),
  );
  for (const { value, float } of rest) {
    const quantizer = emission.quantizer(value);
    if (quantizer && requantizes(emission, node))
      emission.quantize(value, float, quantizer.low, quantizer.high);
  }
}

/** A float Linear over more than two dimensions: MatMul and Add, since Gemm takes matrices only. */
function emitWideLinear(emission: Emission, node: Node): boolean {
  const { graph, file } = emission;
  const [input, weightsName, bias] = node.inputs;
  const rank = rankOf(graph, input);
  const weights = graph.constants.get(weightsName);
  if (rank === 2 || !weights) return false;
  const [rows, columns] = weights.shape;
  const data = transposed(weights.data as Float32Array, rows, columns);
  const turned = file.tensor(`${node.name}_weight`, { dtype: 'float32', shape: [columns, rows], data });
  emitResult(emission, node, node.attributes['clamp'] as readonly number[], (output) => {
    const product = bias ? file.unique(`${output}_product`) : output;
    file.node('MatMul', node, [emission.read(input), turned], [product]);
    if (bias) file.node('Add', `${node.name}_bias`, [product, emission.read(bias)], [output]);
  });
  return true;
}

/** `com.example.Op` -> [`com.example`, `Op`] */
function splitDomain(op: string): [string, string] {
  const dot = op.lastIndexOf('.');
  return dot > 0 ? [op.slice(0, dot), op.slice(dot + 1)] : ['', op];
}
