import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const benchmarks = fileURLToPath(new URL('../../benchmarks/', import.meta.url));

/** Whether onnxruntime-node is installed beside the benchmarks; says so where it is not. */
export function hasOnnxruntime(): boolean {
  try {
    createRequire(benchmarks).resolve('onnxruntime-node');
    return true;
  } catch {
    console.log('      skipped: no onnxruntime-node in benchmarks');
    return false;
  }
}
