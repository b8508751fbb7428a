import { parentPort } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import { createKernels } from '../kernels/index.ts';
import { serve } from './serve.ts';

parentPort!.on(
  'message',
  serve({ createKernels, crc32 }, (message, transfer) => parentPort!.postMessage(message, transfer)),
);
