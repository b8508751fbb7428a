// Builds dist/kernels.wasm from assembly/, unless it is newer than everything it is made from.
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main } from 'assemblyscript/asc';

const root = fileURLToPath(new URL('..', import.meta.url));
const product = join(root, 'dist', 'kernels.wasm');

const age = (path) => statSync(path).mtimeMs;

function upToDate() {
  if (!existsSync(product)) return false;
  const sources = readdirSync(join(root, 'assembly')).map((name) => join(root, 'assembly', name));
  return [...sources, fileURLToPath(import.meta.url)].every((path) => age(path) <= age(product));
}

if (!upToDate()) {
  mkdirSync(join(root, 'dist'), { recursive: true });
  const options = [
    '-O3',
    '--noAssert',
    '--converge',
    '--runtime',
    'stub',
    '--enable',
    'simd',
    '--baseDir',
    root,
  ];
  const { error, stderr } = await main(['assembly/index.ts', '--outFile', 'dist/kernels.wasm', ...options]);
  if (error) {
    process.stderr.write(`${stderr.toString()}${error.message}\n`);
    process.exitCode = 1;
  }
}
