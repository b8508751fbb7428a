/**
 * A network as plain data. Two forms, same node and value names:
 *
 * *onnx form* (`importGraph`): ONNX semantics and layout (NCHW, weights OIHW), simplified: Constant, Identity,
 * Dropout and shape arithmetic folded, batch-norm (unless asked not to) and constants per channel folded into the
 * layer before them, float16 weights widened, Relu and constant Clip fused as `clamp` into the Conv, ConvTranspose,
 * Linear or Add before them where nothing else reads the value in between. Gemm and MatMul with constant weights are
 * `Linear`. What the exporter reads.
 *
 * *channels-last form* (`toChannelsLast`): what the engine runs. Spatial operators are NHWC (for any spatial
 * rank) and weights OHWI; a Transpose stands where a layout really changes (at the network's input, say).
 *
 * Normal operators, in both forms (attributes are always present and explicit):
 * - Conv      inputs [x, w, bias?]; strides, dilations [h,w]; pads [top,left,bottom,right]; group; clamp [low,high]
 * - Linear    inputs [x, w, bias?]; x [..., k], w [n][k]: y = x wᵀ + bias; clamp
 * - Add       inputs [a, b]; clamp
 * - MaxPool, AveragePool   kernel_shape, strides, dilations, pads as Conv; count_include_pad 0|1; ceil_mode 0|1
 * - GlobalAveragePool, Relu, Clip (low/high as attributes `clamp`), Concat (axis >= 0), Pad (pads 2*rank begin..end,
 *   value, mode), Flatten (axis), Transpose (perm), Reshape (shape: number[], 0 = copy, -1 = infer)
 * A ReduceMean over exactly the spatial axes is a GlobalAveragePool, with a Flatten where it drops them.
 * All other operators keep ONNX's inputs and attributes (of the model's opset); in channels-last form axes that
 * they name are those of their input, scales and sizes of Resize stay in ONNX's order.
 */

export type Dtype =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'bfloat16'
  | 'int8'
  | 'uint8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'uint64'
  | 'bool'
  | 'string';

/** float16 and bfloat16 as their bits in Uint16Array, bool as Uint8Array of 0 and 1. */
export type TensorData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | string[];

/** Row-major. */
export interface Tensor {
  dtype: Dtype;
  shape: readonly number[];
  data: TensorData;
}

export interface FloatTensor extends Tensor {
  dtype: 'float32';
  data: Float32Array;
}

/** A named dimension (`batch`) is bound when the graph is compiled. */
export type Dimension = number | string;

export interface ValueType {
  dtype: Dtype;
  shape: readonly Dimension[];
}

/** An input or output of a network. */
export interface Port extends ValueType {
  name: string;
}

export type Attribute = number | string | readonly number[] | readonly string[] | Tensor | Graph;

export interface Node {
  /** Unique; the exporter's and the report's name of a layer. */
  name: string;
  op: string;
  /** Value names; '' for an absent optional input. */
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: Readonly<Record<string, Attribute>>;
  /** Attributes of type float, for an operator without a row: whole numbers do not show it. */
  floats?: readonly string[];
}

export interface Graph {
  name: string;
  opset: number;
  inputs: readonly Port[];
  outputs: readonly Port[];
  /** In execution order. */
  nodes: readonly Node[];
  constants: ReadonlyMap<string, Tensor>;
  /** Types of all values that could be inferred, constants left out. */
  types: ReadonlyMap<string, ValueType>;
  /** Types of what operators without a row make, where somebody else told them (see ImportOptions). */
  given?: ReadonlyMap<string, ValueType>;
  /** Per layer: sigma of its weights before batch-norm folding; only where a batch-norm was folded. */
  rawSigma: ReadonlyMap<string, number>;
  layout: 'onnx' | 'channels-last';
}

/** An operator with constant weights: what gets a width. */
export interface Layer {
  name: string;
  op: 'Conv' | 'Linear';
  node: Node;
  /** Value names. */
  input: string;
  output: string;
  /** Channels-last: [outChannels][taps][channels]. */
  weights: Float32Array;
  bias: Float32Array | null;
  outChannels: number;
  taps: number;
  channels: number;
  groups: number;
  parameters: number;
  /** Per sample. */
  macs: number;
}
