// A worker thread that makes its own backend: computes once and posts the results, or computes until it is terminated.
import { parentPort, workerData } from 'node:worker_threads';
import { checked, createKernels } from '../../lib/kernels/index.ts';
import { floats, normal, random } from './support.ts';

const { endless } = workerData as { endless: boolean };
/** 8.4 million multiply-adds: enough for several threads. */
const [M, N, K] = [64, 256, 512];
const WEIGHTS = { outChannels: N, taps: 1, channels: K, groups: 1, bits: 8 };

const kernels = checked(await createKernels({ backend: 'native', threads: 2 }));
const next = random(4);
const x = floats(M * K, normal(next));
const packed = new Uint8Array(kernels.floatWeightsSize(WEIGHTS));
kernels.packFloatWeights(floats(N * K, normal(next)), WEIGHTS, packed);
const [now, later] = [new Float32Array(M * N), new Float32Array(M * N)];
const compute = () => kernels.floatGemm(x, packed, WEIGHTS, M, null, -50, 50, now);
const computeLater = () => kernels.later.floatGemm(x, packed, WEIGHTS, M, null, -50, 50, later);

compute();
if (endless) {
  parentPort?.postMessage('running');
  for (;;) {
    const call = computeLater();
    for (let i = 0; i < 20; i++) compute();
    await call;
  }
}
await computeLater();
kernels.dispose();
compute();
parentPort?.postMessage([now, later]);
