import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The order of the layers: each imports itself and what stands before it. */
const ORDER = [
  'errors',
  'kernels',
  'quant',
  'graph',
  'engine',
  'analysis',
  'training',
  'recovery',
  'allocate',
  'hardware',
  'export',
  'onnxruntime',
  'report',
  'pipeline',
  'bench',
  'index',
  'cli',
];
/** Leaves import themselves and errors, and anybody may import them. */
const LEAVES = ['onnx', 'sqnt', 'data'];
/** The small public face for those who only run models. */
const RUNTIME = ['errors', 'kernels', 'quant', 'graph', 'engine', 'sqnt'];

/** Files below the pipeline that may touch the outside world, and why. */
const OUTSIDE: readonly RegExp[] = [
  /^data\/disk\.ts$/, // streams samples from the disk
  /^runtime\/(index|node-host|worker|browser|browser-host|browser-worker)\.ts$/, // the hosts themselves
  /^onnxruntime\/(installation|blocking-worker|protocol|worker)\.ts$/, // finds the user's installation, runs it in a worker
  /^kernels\/[a-z-]+\.ts$/, // finds the addon and the WASM module, asks for the processor, reads the environment
];
const BANNED_NAMES = /(^|[-/])(utils?|helpers?|managers?|common|misc)(\.|\/|-|$)/;
/** A file fits in one reading (about 300 lines); this is where it certainly does not. */
const MAX_LINES = 400;
/** Lists with one entry per verb that the plan keeps in one file. */
const LONG: Readonly<Record<string, number>> = {
  'native/addon.cpp': 500, // the only file that may include napi.h
};

const root = fileURLToPath(new URL('..', import.meta.url));
const lib = join(root, 'lib');

function filesBelow(folder: string, ending: RegExp): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && ending.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .filter((path) => !/(^|\/)(node_modules|generated)\//.test(path))
    .sort();
}

const sources = filesBelow(lib, /\.ts$/).map((path) => ({
  path: path.slice('lib/'.length),
  text: readFileSync(join(root, path), 'utf8'),
}));

/** `errors.ts` is the layer errors, `data/open.ts` the layer data. */
function layerOf(path: string): string {
  return path.split('/')[0].replace(/\.ts$/, '');
}

/** Everything that a module names in import, export from, import() and require(). */
function importsOf(text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const found = code.matchAll(/(?:\bfrom|\bimport|\bimport\(|\brequire\(|\bresolve\()\s*'([^']+)'/g);
  return [...found].map((match) => match[1]);
}

function mayImport(from: string, to: string): boolean {
  if (from === to) return true;
  if (LEAVES.includes(from)) return to === 'errors';
  if (LEAVES.includes(to)) return from !== 'errors' && from !== 'kernels';
  if (from === 'runtime') return RUNTIME.includes(to);
  if (to === 'runtime') return ORDER.indexOf(from) >= ORDER.indexOf('pipeline');
  return ORDER.includes(to) && ORDER.indexOf(to) < ORDER.indexOf(from);
}

describe('architecture', () => {
  it('finds the files it speaks of', () => {
    assert.ok(sources.length > 20, `${sources.length} files`);
    assert.deepEqual(
      importsOf("import type { A } from './a.ts';\nexport * from 'b'; await import('c');\n// from 'd'"),
      ['./a.ts', 'b', 'c'],
    );
  });

  it('has only the layers of the plan', () => {
    const unknown = new Set(sources.map(({ path }) => layerOf(path)));
    for (const layer of [...ORDER, ...LEAVES, 'runtime']) unknown.delete(layer);
    assert.deepEqual([...unknown], []);
  });

  it('imports only to the left', () => {
    const wrong: string[] = [];
    for (const { path, text } of sources) {
      for (const specifier of importsOf(text)) {
        if (!specifier.startsWith('.')) continue;
        const target = relative(lib, join(lib, dirname(path), specifier)).replaceAll('\\', '/');
        if (target.startsWith('../')) continue; // package.json, the built addon
        if (!mayImport(layerOf(path), layerOf(target))) wrong.push(`${path} imports ${target}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('touches the disk, the clock, the environment and the terminal only from the pipeline up', () => {
    const wrong: string[] = [];
    for (const { path, text } of sources) {
      const rank = ORDER.indexOf(layerOf(path));
      if (rank >= ORDER.indexOf('pipeline') || OUTSIDE.some((allowed) => allowed.test(path))) continue;
      const outside = [
        ...importsOf(text).filter((specifier) => specifier.startsWith('node:')),
        ...[
          ...text.matchAll(/\b(?:process\.\w+|console\.\w+\(|Date\.now\(|new Date\(|performance\.now\()/g),
        ].map(([found]) => found),
      ];
      for (const use of outside) wrong.push(`${path}: ${use}`);
    }
    assert.deepEqual(wrong, []);
  });

  it('uses packages that the package depends on', () => {
    const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const allowed = new Set([...Object.keys(dependencies), ...Object.keys(peerDependencies)]);
    const wrong: string[] = [];
    for (const { path, text } of sources) {
      for (const specifier of importsOf(text)) {
        if (/^(\.|node:|#)/.test(specifier)) continue;
        const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
        if (!allowed.has(name)) wrong.push(`${path} imports ${specifier}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('names files after what they are and keeps them short', () => {
    const files = [
      ...filesBelow(lib, /\.ts$/),
      ...filesBelow(join(root, 'native'), /\.(cpp|h|def)$/),
      ...filesBelow(join(root, 'assembly'), /\.ts$/),
      ...filesBelow(join(root, 'benchmarks'), /\.(ts|mjs)$/),
    ];
    const wrong = files.flatMap((path) => {
      const lines = readFileSync(join(root, path), 'utf8').split('\n').length - 1;
      const complaints: string[] = [];
      if (BANNED_NAMES.test(path)) complaints.push(`${path}: its name says nothing`);
      if (lines > (LONG[path] ?? MAX_LINES)) complaints.push(`${path}: ${lines} lines`);
      if (path.startsWith('lib/') && !/^[a-z0-9/.-]+$/.test(path)) complaints.push(`${path}: not kebab-case`);
      return complaints;
    });
    assert.deepEqual(wrong, []);
  });
});
