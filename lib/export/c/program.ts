import { Model } from '../../engine/model.ts';
import type { Plan, PlanPort } from '../../engine/plan.ts';
import { planFor } from '../../engine/planning.ts';
import type { StridedCopy } from '../../engine/strided-copy.ts';
import { SigmaQuantError } from '../../errors.ts';
import type { Graph, Node, Port, Tensor } from '../../graph/graph.ts';
import { inferTypes } from '../../graph/types.ts';
import type { Region } from '../../kernels/kernels.ts';
import type { Quantization } from '../../quant/quantizer.ts';
import { stridedCopies } from './copies.ts';
import { fused, type QuantizedAveragePoolCall, type QuantizeStridedCall } from './fusion.ts';
import { type Call, recordingKernels } from './recorder.ts';

/** Where values lie: an array stands for a place of its own, and nothing is ever written into it. */
export type Place = Uint8Array | Float32Array;

export interface StridedCopyCall {
  verb: 'copyStrided';
  values: [from: Place, to: Place, copy: StridedCopy];
}

/** Every element of `to` becomes the one of `value`. */
export interface FillCall {
  verb: 'fill';
  values: [value: Place, to: Place];
}

export type Operation = { node: Node | null } & (
  | Exclude<Call, { verb: 'copyPlane' }>
  | StridedCopyCall
  | FillCall
  | QuantizedAveragePoolCall
  | QuantizeStridedCall
);

export interface ProgramPort {
  port: Port;
  /** With every named dimension as 1. */
  shape: readonly number[];
  place: Place;
}

/** What the engine would do for one sample, as data. */
export interface Program {
  operations: readonly Operation[];
  inputs: readonly ProgramPort[];
  outputs: readonly ProgramPort[];
  /** Places that live in the arena or are outputs; the others are inputs and constants. */
  places: ReadonlySet<Place>;
}

/**
 * Records what the engine does with one sample of a quantized network: the same steps on the same constants, so that
 * whoever follows them gets the same bits. Throws UNSUPPORTED_MODEL naming the node whose work is no call of a kernel
 * with exact results, or the input or output that is not float32.
 */
export function recordProgram(
  graph: Graph,
  quantization: Quantization,
  inputDtype: 'float32' | 'uint8',
): Program {
  let calls: Call[] = [];
  const model = new Model(
    graph,
    recordingKernels((call) => calls.push(call)),
    quantization,
  );
  const types = inferTypes(graph, 1);
  const shapeOf = (name: string) => types.get(name)?.shape ?? graph.constants.get(name)?.shape;
  const feeds = new Map<string, Tensor>();
  for (const port of graph.inputs) {
    checkPort(port, 'input', shapeOf(port.name));
    if (inputDtype === 'uint8' && !model.quantizer(port.name))
      throw new SigmaQuantError(
        'UNSUPPORTED_MODEL',
        `Expected a quantized input for uint8 but received ${port.name}, which is read as float32: ask for float32.`,
      );
    feeds.set(port.name, {
      dtype: inputDtype,
      shape: shapeOf(port.name)!,
      data: new (inputDtype === 'uint8' ? Uint8Array : Float32Array)(0),
    });
  }
  for (const port of graph.outputs) checkPort(port, 'output', shapeOf(port.name));
  const plan = planFor(
    model,
    types,
    feeds,
    graph.outputs.map(({ name }) => name),
  );
  const places = new Set<Place>();
  plan.place(placesOf(places));
  for (const { stored } of plan.feeds) if (stored.dtype !== 'tensor') stored.data = placeOf(stored);
  const operations = plan.steps.flatMap((step) => {
    calls = [];
    if (!step.onlyCalls) refuseNode(step.node, 'that C has no form for');
    step.run();
    return operationsOf(step.node, calls);
  });
  model.dispose();
  const ports = (given: readonly Port[], planned: Plan['feeds']) =>
    given.map((port, i) => programPort(port, shapeOf(port.name)!, planned[i]));
  const outputs = ports(graph.outputs, plan.fetches);
  return {
    operations: fused(operations, new Set(outputs.map(({ place }) => place))),
    inputs: ports(graph.inputs, plan.feeds),
    outputs,
    places,
  };
}

function checkPort({ name, dtype }: Port, kind: string, shape: readonly number[] | undefined): void {
  if (dtype !== 'float32')
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected a float32 ${kind} for C but received ${dtype} for ${name}.`,
    );
  if (!shape)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected a shape for ${kind} ${name} but it depends on data; C needs all sizes beforehand.`,
    );
}

function programPort(port: Port, shape: readonly number[], { stored }: PlanPort): ProgramPort {
  if (stored.dtype === 'tensor')
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected float32 for ${port.name} but its shape depends on data; C needs all sizes beforehand.`,
    );
  return { port, shape, place: stored.data };
}

const placeOf = ({ dtype, length }: { dtype: string; length: number }) =>
  new (dtype === 'uint8' ? Uint8Array : Float32Array)(length) as Uint8Array & Float32Array;

/** A region that gives every slot an array of its own. */
function placesOf(places: Set<Place>): Region {
  const taken = <T extends Place>(place: T): T => {
    places.add(place);
    return place;
  };
  return {
    bytes: (_: number, length: number) => taken(new Uint8Array(length)),
    float32: (_: number, length: number) => taken(new Float32Array(length)),
  } as unknown as Region;
}

/** Verbs whose results every backend shares to the bit, and C too. */
const EXACT = new Set<Call['verb']>([
  'quantize',
  'dequantize',
  'conv',
  'gemm',
  'quantizedAdd',
  'quantizedMaxPool',
  'quantizedGlobalAverage',
  'lookup',
  'copyPlane',
  'clamp',
  'add',
  'maxPool',
  'averagePool',
]);

function refuseNode(node: Node | null, why: string): never {
  throw new SigmaQuantError(
    'UNSUPPORTED_MODEL',
    `Expected a network that runs in integers for C but received node ${node?.name} (${node?.op}), ${why}: quantize it, or cut the network before it.`,
  );
}

/** Copies of one step joined to loops again; everything else as it is. */
function operationsOf(node: Node | null, calls: readonly Call[]): Operation[] {
  const operations: Operation[] = [];
  for (let i = 0; i < calls.length; i++) {
    const call = calls[i];
    if (!EXACT.has(call.verb)) refuseNode(node, 'which runs in float');
    if (call.verb !== 'copyPlane') {
      operations.push({ node, ...call } as Operation);
      continue;
    }
    const [from, to] = call.values as unknown as [Place, Place];
    if (from.length === 1 && call.values[6] === 0) {
      operations.push({ node, verb: 'fill', values: [from, to] });
      continue;
    }
    const alike = [call];
    for (let next = calls[i + 1]; next?.verb === 'copyPlane' && continues(call, next); next = calls[i + 1]) {
      alike.push(next);
      i++;
    }
    for (const copy of stridedCopies(alike))
      operations.push({ node, verb: 'copyStrided', values: [from, to, copy] });
  }
  return operations;
}

type PlaneCall = Extract<Call, { verb: 'copyPlane' }>;

/** The same arrays, sizes and strides. */
function continues({ values: a }: PlaneCall, { values: b }: PlaneCall): boolean {
  return a.every((value, i) => i === 4 || i === 7 || value === b[i]);
}
