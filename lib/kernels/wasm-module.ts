import { SigmaQuantError } from '../errors.ts';
import type { WasmMemory } from './wasm-memory.ts';

export type Verb = (...parameters: number[]) => number;

export interface WasmModule {
  /** A WebAssembly.Module, which workers can be sent. */
  readonly compiled: object;
  readonly memory: WasmMemory;
  readonly verbs: Record<string, Verb>;
}

/** The part of the global that is used here; TypeScript declares it only for browsers. */
interface WebAssemblyHost {
  validate(bytes: Uint8Array): boolean;
  instantiate(
    bytes: Uint8Array,
    imports: object,
  ): Promise<{ module: object; instance: { exports: unknown } }>;
  Memory: new (limits: { initial: number; maximum: number; shared: boolean }) => WasmMemory;
}

/** Beside lib in the sources and beside the compiled kernels in the package: the same sources, built twice. */
const MODULE = new URL('../../dist/kernels.wasm', import.meta.url);
const SHARED_MODULE = new URL('../../dist/kernels-threads.wasm', import.meta.url);
/** Untouched pages cost nothing, and the fewer growths, the fewer detached views. */
const INITIAL_PAGES = 512;
/** As scripts/build-wasm.mjs declares it. */
const PAGE_LIMIT = 65_535;

export function unavailable(message: string, cause?: unknown): SigmaQuantError {
  return new SigmaQuantError('BACKEND_UNAVAILABLE', message, { cause });
}

async function read(url: URL): Promise<Uint8Array> {
  try {
    if (url.protocol === 'file:') {
      const { readFile } = await import('node:fs/promises');
      return new Uint8Array(await readFile(url));
    }
    const response = await fetch(url);
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  } catch (cause) {
    const name = url.pathname.split('/').at(-1);
    throw unavailable(`Expected the WASM module ${name} but it cannot be read.`, cause);
  }
}

/** The module over memory of its own, or over memory that workers can share. Throws BACKEND_UNAVAILABLE. */
export async function loadModule(shared: boolean): Promise<WasmModule> {
  const bytes = await read(shared ? SHARED_MODULE : MODULE);
  const { WebAssembly: host } = globalThis as unknown as { WebAssembly?: WebAssemblyHost };
  if (!host?.validate(bytes))
    throw unavailable('Expected WebAssembly with SIMD but it is not supported here.');
  try {
    const limits = { initial: INITIAL_PAGES, maximum: PAGE_LIMIT, shared };
    const imports = shared ? { env: { memory: new host.Memory(limits) } } : {};
    const { module: compiled, instance } = await host.instantiate(bytes, imports);
    const verbs = instance.exports as Record<string, Verb> & { memory: WasmMemory };
    const memory = imports.env?.memory ?? verbs.memory;
    if (!shared) memory.grow(INITIAL_PAGES);
    return { compiled, memory, verbs };
  } catch (cause) {
    throw unavailable('Expected a WASM module that can be instantiated but it cannot.', cause);
  }
}
