import { compile } from '../../lib/engine/index.ts';
import type { FormatSource, OnnxFormat } from '../../lib/export/formats.ts';
import { preflight } from '../../lib/export/preflight.ts';
import type { Graph } from '../../lib/graph/graph.ts';
import type { Kernels } from '../../lib/kernels/kernels.ts';
import { type FileModel, writeModel } from '../../lib/onnx/index.ts';
import type { Quantization } from '../../lib/quant/quantizer.ts';
import type { Batch, Batches } from '../networks/network.ts';
import { type Flavour, openSession, preparedRun } from '../onnxruntime.ts';
import { kernelsOf, optimized } from './optimized.ts';

/** One format of one quantized network: in onnxruntime beside our engine. */
export interface Measured {
  format: string;
  opset: number;
  irVersion: number;
  fileBytes: number;
  /** Layers, those with an integer kernel, and those whose forecast was right. */
  layers: number;
  integer: number;
  foretold: number;
  samples: number;
  /** Samples with the top-1 of our engine, running the same (compact: with float activations). */
  agreeing: number;
  /** Samples with the top-1 of our engine, running integers. */
  agreeingWithIntegers: number;
  outputs: number;
  /** Outputs that are not the same float, the largest difference, and the mean one. */
  differing: number;
  largest: number;
  mean: number;
  /** Largest output of our engine, by its magnitude. */
  magnitude: number;
}

export interface Subject {
  source: FormatSource;
  /** The channels-last form, for our engine. */
  graph: Graph;
  kernels: Kernels;
  batches: Batches;
  flavour?: Flavour;
}

/** The file of a format at its own opset. */
export function fileOf(format: OnnxFormat, source: FormatSource): FileModel {
  return format.model(source, format.opset(source));
}

export async function measure(name: string, format: OnnxFormat, subject: Subject): Promise<Measured> {
  const { source, graph, kernels, batches, flavour = 'node' } = subject;
  const model = fileOf(format, source);
  const bytes = writeModel(model);
  format.check(bytes, source.quantization);
  const { layers } = preflight(model);
  const real = kernelsOf(model, await optimized(bytes));
  const session = await openSession(bytes, 1, { flavour });
  const same = counterpart(name, source.quantization);
  const ours = [source.quantization, same].map((quantization) => compile(graph, kernels, { quantization }));
  const measured: Measured = {
    format: name,
    opset: model.opset,
    irVersion: model.irVersion,
    fileBytes: bytes.length,
    layers: layers.length,
    integer: layers.filter(({ execution }) => execution === 'integer').length,
    foretold: layers.filter(({ layer, kernel }) => real.get(layer) === kernel).length,
    samples: 0,
    agreeing: 0,
    agreeingWithIntegers: 0,
    outputs: 0,
    differing: 0,
    largest: 0,
    mean: 0,
    magnitude: 0,
  };
  const [output] = graph.outputs;
  for await (const batch of batches()) {
    const [count] = batch.shape;
    const shape = output.shape.map((size) => (typeof size === 'string' ? count : size));
    const theirs = await preparedRun(session, flavour, batch, shape)();
    const [integers, own] = ours.map((executor) => {
      const feeds = new Map([[graph.inputs[0].name, { dtype: 'float32', ...input(batch) } as const]]);
      return executor.run(feeds, [output.name]).get(output.name)!.data as Float32Array;
    });
    countBatch(measured, count, theirs, own, integers);
  }
  measured.mean /= measured.outputs;
  for (const executor of ours) executor.dispose();
  await session.release();
  return measured;
}

const input = ({ x, shape }: Batch) => ({ shape, data: x });

/** What our engine runs that is the same network: `compact` has float activations. */
function counterpart(format: string, quantization: Quantization): Quantization {
  return format === 'compact' ? { ...quantization, activations: new Map() } : quantization;
}

function countBatch(
  into: Measured,
  samples: number,
  theirs: Float32Array,
  own: Float32Array,
  integers: Float32Array,
): void {
  const classes = own.length / samples;
  into.samples += samples;
  into.outputs += own.length;
  for (let sample = 0; sample < samples; sample++) {
    const top = (values: Float32Array) => {
      const row = values.subarray(sample * classes, (sample + 1) * classes);
      return row.indexOf(Math.max(...row));
    };
    if (top(theirs) === top(own)) into.agreeing++;
    if (top(theirs) === top(integers)) into.agreeingWithIntegers++;
  }
  for (let i = 0; i < own.length; i++) {
    const difference = Math.abs(theirs[i] - own[i]);
    if (difference > 0) into.differing++;
    into.largest = Math.max(into.largest, difference);
    into.mean += difference;
    into.magnitude = Math.max(into.magnitude, Math.abs(own[i]));
  }
}
