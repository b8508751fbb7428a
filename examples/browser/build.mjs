// Puts the page together, a folder that any web server can serve: node examples/browser/build.mjs [FOLDER]
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const site = process.argv[2] ?? fileURLToPath(new URL('../../out/browser', import.meta.url));
const { resolve } = createRequire(import.meta.url);
/** Of the package, wherever it is installed. */
const dist = fileURLToPath(new URL('..', import.meta.resolve('sigmaquant/browser')));

rmSync(site, { recursive: true, force: true });
// The library looks for its WebAssembly two folders above its module, in dist: so the scripts stand in dist/page.
const page = join(site, 'dist/page');
mkdirSync(page, { recursive: true });
cpSync(join(here, 'index.html'), join(site, 'index.html'));
cpSync(join(here, 'style.css'), join(page, 'style.css'));
for (const name of ['kernels.wasm', 'kernels-threads.wasm'])
  cpSync(join(dist, name), join(site, 'dist', name));
// The solver looks beside its module.
cpSync(resolve('highs/runtime'), join(page, 'highs.wasm'));

await build({
  absWorkingDir: here,
  entryPoints: ['page.js', 'worker.js'],
  outdir: page,
  bundle: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  minify: true,
  external: ['node:module'], // which the solver asks for in Node alone
  logLevel: 'warning',
});
console.log(`The page is in ${site}.`);
