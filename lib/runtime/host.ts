import type { Kernels, KernelsOptions } from '../kernels/kernels.ts';

/** What a session needs of the world around it: Node's or a browser's. */
export interface Host {
  /** The bytes of a packed file. Throws INVALID_ARGUMENT with the reason. */
  read(source: string | URL): Promise<Uint8Array>;
  /** Throws BACKEND_UNAVAILABLE. */
  createKernels(options: KernelsOptions): Promise<Kernels>;
  /** The checksum of packed files where the host has it built in. */
  readonly crc32?: (bytes: Uint8Array) => number;
  /** Milliseconds, monotonic. */
  now(): number;
  /** A worker that serves sessions (serve.ts); throws where none can be had. */
  spawn(): Promise<Remote>;
}

/** The other side of a worker. It keeps no process alive while nothing is asked of it. */
export interface Remote {
  post(message: unknown, transfer: readonly ArrayBuffer[]): void;
  /** Called with every message, and once with an error when the worker ends, for whatever reason. */
  listen(onMessage: (message: unknown) => void, onEnd: (reason: Error) => void): void;
  /** Whether the process may not end before the worker answered. */
  hold(held: boolean): void;
  end(): void;
}
