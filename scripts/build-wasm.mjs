// Builds dist/kernels.wasm and dist/kernels-threads.wasm (the same over shared memory) from assembly/, unless they are
// newer than everything they are made from.
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main } from 'assemblyscript/asc';

const root = fileURLToPath(new URL('..', import.meta.url));
const OPTIONS = [
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
/** Shared memory states its limits; lib/kernels/wasm-module.ts makes it with the same maximum. */
const SHARED = ['--enable', 'threads', '--importMemory', '--sharedMemory', '--initialMemory', '1'];
const PRODUCTS = [
  { path: 'dist/kernels.wasm', options: [] },
  { path: 'dist/kernels-threads.wasm', options: [...SHARED, '--maximumMemory', '65535'] },
];

const age = (path) => statSync(path).mtimeMs;

function upToDate(product) {
  if (!existsSync(product)) return false;
  const sources = readdirSync(join(root, 'assembly')).map((name) => join(root, 'assembly', name));
  return [...sources, fileURLToPath(import.meta.url)].every((path) => age(path) <= age(product));
}

mkdirSync(join(root, 'dist'), { recursive: true });
for (const { path, options } of PRODUCTS) {
  if (upToDate(join(root, path))) continue;
  const { error, stderr } = await main(['assembly/index.ts', '--outFile', path, ...OPTIONS, ...options]);
  if (error) {
    process.stderr.write(`${stderr.toString()}${error.message}\n`);
    process.exitCode = 1;
  }
}
