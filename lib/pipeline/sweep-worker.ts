import { parentPort, workerData } from 'node:worker_threads';
import { CellRunner } from './sweep-cell.ts';
import type { PoolAnswer, PoolRequest, PoolSetup } from './sweep-pool.ts';

const answer = (message: PoolAnswer) => parentPort!.postMessage(message);
const controller = new AbortController();
const runner = new CellRunner({
  ...(workerData as PoolSetup),
  signal: controller.signal,
  onWarning: (sentence) => answer({ kind: 'warning', sentence }),
});

parentPort!.on('message', async (request: PoolRequest) => {
  if (request.kind === 'stop') {
    controller.abort();
    return;
  }
  try {
    if (request.kind === 'run') answer({ kind: 'row', row: await runner.run(request.cell) });
  } catch {
    // Stopped.
  }
  if (request.kind === 'run' && !controller.signal.aborted) return;
  await runner.close();
  parentPort!.close();
});
