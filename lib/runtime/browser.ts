import { browserHost } from './browser-host.ts';
import { type Session as LoadedSession, loadSession, type SessionOptions } from './session.ts';

export { type ErrorCode, SigmaQuantError } from '../errors.ts';
export type { Dimension, Dtype, Port, Tensor, TensorData } from '../graph/graph.ts';
export type { BackendName, Isa } from '../kernels/kernels.ts';
export type { PackedPreprocessing, PackedProvenance } from '../sqnt/model.ts';
export type { LayerProfile } from './profile.ts';
export type { AsyncRunOptions, Outputs, RunOptions, SessionOptions } from './session.ts';
export type { Inputs, InputValue } from './tensors.ts';

/** A loaded network. */
export interface Session extends LoadedSession {}

/** Loads networks. */
export const Session = {
  /** As in Node, where a string is a URL relative to the page. */
  load: (source: string | URL | Uint8Array | ArrayBuffer, options?: SessionOptions): Promise<LoadedSession> =>
    loadSession(browserHost, source, options),
};
