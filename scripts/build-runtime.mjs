// Bundles dist/runtime and the browser's files of dist/kernels and dist/pipeline: one file each, so that importing it
// takes milliseconds and a browser needs no bundler. The browser's files never reach what they name of Node's modules;
// it is left out there.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const common = {
  absWorkingDir: root,
  outbase: join(root, 'lib'),
  outdir: join(root, 'dist'),
  allowOverwrite: true,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minifySyntax: true,
  minifyWhitespace: true,
  lineLimit: 200, // an error that nobody catches prints the line where it was thrown
  logLevel: 'warning',
};
const withoutNode = {
  name: 'without-node',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: 'absent' }));
    onLoad({ filter: /.*/, namespace: 'absent' }, () => ({ contents: 'export {}', loader: 'js' }));
  },
};

await build({
  ...common,
  entryPoints: ['lib/runtime/index.ts', 'lib/runtime/worker.ts'],
  platform: 'node',
  external: ['node-gyp-build'],
});
const inBrowsers = {
  ...common,
  platform: 'browser',
  minifyIdentifiers: true,
  plugins: [withoutNode],
};
await build({
  ...inBrowsers,
  entryPoints: ['lib/runtime/browser.ts', 'lib/runtime/browser-worker.ts', 'lib/kernels/browser.ts'],
});

const textOf = (path) => readFileSync(join(root, path), 'utf8');
const DEVICES = 'lib/hardware/devices';
const devices = readdirSync(join(root, DEVICES)).sort();
await build({
  ...inBrowsers,
  entryPoints: ['lib/pipeline/browser.ts'],
  external: ['highs'], // loaded for few targets, and it brings 3.5 MB
  define: {
    PACKAGE_VERSION: JSON.stringify(JSON.parse(textOf('package.json')).version),
    DEVICE_FILES: JSON.stringify(
      Object.fromEntries(devices.map((file) => [basename(file, '.json'), textOf(`${DEVICES}/${file}`)])),
    ),
  },
});
