import { parentPort } from 'node:worker_threads';
import { createKernels } from '../kernels/index.ts';
import { serve } from './serve.ts';

parentPort!.on(
  'message',
  serve({ createKernels }, (message, transfer) => parentPort!.postMessage(message, transfer)),
);
