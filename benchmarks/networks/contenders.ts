import { Session } from '../../lib/runtime/index.ts';
import { type Flavour, openSession, preparedRun } from '../onnxruntime.ts';
import { type Contender, time, timeAwaited } from '../rivals/contender.ts';
import type { Batch } from './network.ts';

/** What goes in, and the shape of what comes out. */
export interface Samples extends Batch {
  output: readonly number[];
}

export interface Setting {
  backend: 'native' | 'wasm';
  threads: number;
}

/** A packed file in our runtime, its results written into one array. */
export async function openOurs(
  sqnt: Uint8Array,
  { backend, threads }: Setting,
  { x, shape, output }: Samples,
): Promise<Contender & { isa: string; floatNodes: readonly string[] }> {
  const session = await Session.load(sqnt, { backend, threads });
  const inputs = { [session.inputs[0].name]: { data: x, shape } };
  const room = new Float32Array(output.reduce((product, length) => product * length, 1));
  const options = { into: { [session.outputs[0].name]: room } };
  return {
    way: 'ours',
    isa: session.isa,
    floatNodes: session.floatNodes,
    run: async (calls) => time(calls, () => session.runSync(inputs, options)),
    output: async () => room,
    close: async () => session.dispose(),
  };
}

/** A model in onnxruntime, its batch as fixed as ours is. */
export async function openTheirs(
  way: string,
  model: Uint8Array,
  { backend, threads }: Setting,
  { dimension, ...samples }: Samples & { dimension: string },
): Promise<Contender> {
  const flavour: Flavour = backend === 'wasm' ? 'web' : 'node';
  const session = await openSession(model, threads, {
    flavour,
    dimensions: { [dimension]: samples.shape[0] },
  });
  const call = preparedRun(session, flavour, samples, samples.output);
  return {
    way,
    run: (calls) => timeAwaited(calls, call),
    output: call,
    close: () => session.release(),
  };
}
