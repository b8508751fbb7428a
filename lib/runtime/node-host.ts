import { readFile } from 'node:fs/promises';
import type { TransferListItem, Worker } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import { SigmaQuantError } from '../errors.ts';
import { createKernels } from '../kernels/index.ts';
import { fetched } from './fetched.ts';
import type { Host, Remote } from './host.ts';

/** The worker beside this module; for the sources, which Node cannot run in a worker, the built one. */
const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? '../../dist/runtime/worker.js' : './worker.js',
  import.meta.url,
);

async function read(source: string | URL): Promise<Uint8Array> {
  const url = source instanceof URL ? source : /^https?:/.test(source) ? new URL(source) : null;
  if (url && url.protocol !== 'file:') return fetched(url);
  try {
    const { buffer, byteOffset, length } = await readFile(url ?? source);
    return new Uint8Array(buffer, byteOffset, length);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected a readable file for the model but received ${JSON.stringify(String(source))}: ${code === 'ENOENT' ? 'no such file' : (code ?? message)}.`,
      { cause },
    );
  }
}

function remote(worker: Worker): Remote {
  worker.unref();
  return {
    post: (message, transfer) => worker.postMessage(message, transfer as unknown as TransferListItem[]),
    listen(onMessage, onEnd) {
      worker.on('message', onMessage);
      worker.on('error', (cause) => onEnd(ended(cause.message, cause)));
      worker.on('exit', (code) => onEnd(ended(`exit code ${code}`)));
    },
    hold: (held) => (held ? worker.ref() : worker.unref()),
    end: () => void worker.terminate(),
  };
}

function ended(why: string, cause?: unknown): SigmaQuantError {
  const message = `Expected the worker of an asynchronous run to answer but it ended (${why}).`;
  return new SigmaQuantError('INTERNAL', message, { cause });
}

/** Node with `worker`, a module that serves sessions. */
export const hostWith = (worker: URL): Host => ({
  read,
  createKernels,
  crc32,
  now: () => performance.now(),
  spawn: async () => {
    const { Worker } = await import('node:worker_threads');
    // Without the options of the process, which may be about its main module.
    return remote(new Worker(worker, { execArgv: [] }));
  },
});

export const nodeHost: Host = hostWith(WORKER);
