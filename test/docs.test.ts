import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unzipSync } from 'fflate';
import { type Block, blocksOf, commandsOf, hasCommands, scriptsOf } from './support/markdown.ts';
import { writeArrays } from './support/network.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const EXAMPLE = join(root, 'examples', 'cifar10');
/** Samples of the demo's files that the commands are given: enough for every path, few enough for a test. */
const SAMPLES = { calibration: 32, test: 80 };
/** A page's commands together. */
const TIMEOUT_MS = 600_000;
/** What a command may end with: the four verdicts are answers. */
const VERDICTS = '0 | 3 | 4 | 5';

const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...below('docs', 'docs'),
  ...readdirSync(join(root, 'examples')).flatMap((name) => below(`examples/${name}`, `examples/${name}`)),
].filter((page) => existsSync(join(root, page)));

function below(folder: string, prefix: string): string[] {
  return readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${prefix}/${name}`);
}

const textOf = (page: string) => readFileSync(join(root, page), 'utf8');

/** The first `count` samples of an .npz of .npy members without Fortran order. */
function firstSamples(from: string, to: string, count: number): void {
  const members = Object.entries(unzipSync(readFileSync(from))).map(([name, bytes]): [string, Uint8Array] => {
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint16(8, true);
    const header = Buffer.from(bytes.subarray(10, 10 + length)).toString('latin1');
    const [all, rest] = /'shape': \((\d+),([^)]*)\)/.exec(header)!.slice(1);
    const shorter = header.replace(/'shape': \([^)]*\)/, `'shape': (${count},${rest})`).trimEnd();
    const padded = Buffer.from(`${shorter.padEnd(length - 1)}\n`, 'latin1');
    const size = (bytes.length - 10 - length) / Number(all);
    return [
      name.replace(/\.npy$/, ''),
      Buffer.concat([bytes.subarray(0, 10), padded, bytes.subarray(10 + length, 10 + length + count * size)]),
    ];
  });
  writeArrays(to, Object.fromEntries(members));
}

/** A folder with what the pages call model.onnx, calibration.npz and test.npz, and the program on the search path. */
function workplace(): { folder: string; path: string } {
  const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-docs-'));
  const bin = join(folder, 'bin');
  const work = join(folder, 'work');
  mkdirSync(bin);
  mkdirSync(work);
  cpSync(join(EXAMPLE, 'resnet8-cifar10.onnx'), join(work, 'model.onnx'));
  firstSamples(
    join(EXAMPLE, 'cifar10-demo-calibration.npz'),
    join(work, 'calibration.npz'),
    SAMPLES.calibration,
  );
  firstSamples(join(EXAMPLE, 'cifar10-demo-test.npz'), join(work, 'test.npz'), SAMPLES.test);
  const program = `"${process.execPath}" "${join(root, 'dist', 'cli', 'main.js')}" "$@"\ncase $? in ${VERDICTS}) exit 0 ;; *) exit 1 ;; esac\n`;
  for (const [name, text] of [
    ['sigmaquant', program],
    ['npx', `[ "$1" = sigmaquant ] || exit 1\nshift\n${program}`],
  ]) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}`);
    chmodSync(join(bin, name), 0o755);
  }
  return { folder, path: bin };
}

describe('the docs', function () {
  this.timeout(TIMEOUT_MS);

  it('tell commands from other text by fences that can be run', () => {
    const text =
      'a\n<!-- not run: slow -->\n```sh\nnpx sigmaquant x\n```\n\n    sigmaquant y\n\n```console\n$ npm test \\\n  z\nout\n```\n';
    const blocks = blocksOf(text);
    assert.deepEqual(
      blocks.map(({ language, notRun, line }) => [language, notRun, line]),
      [
        ['sh', 'slow', 4],
        [null, undefined, 7],
        ['console', undefined, 10],
      ],
    );
    assert.deepEqual(commandsOf(blocks[2]), 'npm test \\\n  z');
    assert.ok(hasCommands(blocks[1]));
    assert.deepEqual(scriptsOf('npm ci && npm run demo\nnpm --prefix benchmarks run a -- --b\nnpm test'), [
      ['.', 'demo'],
      ['benchmarks', 'a'],
      ['.', 'test'],
    ]);
  });

  it('have every command in a fence that says it is one', () => {
    const wrong = pages.flatMap((page) =>
      blocksOf(textOf(page))
        .filter(
          (block) => hasCommands(block) && !['sh', 'console', ''].includes(block.language ?? 'indented'),
        )
        .filter((block) => block.language !== 'text')
        .map(({ line }) => `${page}:${line}`),
    );
    assert.deepEqual(wrong, []);
  });

  it('name scripts that are there', () => {
    const known = (folder: string): Record<string, string> => {
      const file = join(root, folder, 'package.json');
      return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).scripts : {};
    };
    /** Of the repository, of the page's own folder, or of one that it goes to. */
    const placesOf = (page: string, folder: string) =>
      folder === '.'
        ? ['.', dirname(page), ...[...textOf(page).matchAll(/\bcd ([\w/-]+)/g)].map(([, to]) => to)]
        : [folder];
    const wrong = pages.flatMap((page) =>
      scriptsOf(textOf(page))
        .filter(
          ([folder, script]) =>
            script !== 'NAME' && !placesOf(page, folder).some((place) => known(place)[script]),
        )
        .map(([folder, script]) => `${page}: ${script} of ${folder}`),
    );
    assert.deepEqual(wrong, []);
  });

  it('link to files and headings that are there', () => {
    const slug = (heading: string) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replaceAll(' ', '-');
    const wrong = pages.flatMap((page) =>
      [...textOf(page).matchAll(/\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)/g)]
        .filter(([, target, anchor]) => {
          const path = target === '' ? join(root, page) : join(root, dirname(page), target);
          if (!existsSync(path)) return true;
          if (anchor === undefined || !path.endsWith('.md')) return false;
          const headings = [...readFileSync(path, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
            slug(heading),
          );
          return !headings.includes(anchor);
        })
        .map(([link]) => `${page}: ${link}`),
    );
    assert.deepEqual(wrong, []);
  });

  const isOurs = (block: Block) => /^\s*(npx )?sigmaquant\b/m.test(commandsOf(block));
  for (const page of pages) {
    const text = textOf(page);
    const blocks = blocksOf(text).filter((block) => hasCommands(block) && block.language !== 'text');
    if (blocks.length === 0) continue;
    it(`${page}: every command runs`, function () {
      if (process.platform === 'win32') return this.skip();
      const left = blocks.filter((block) => block.notRun !== undefined || !isOurs(block));
      for (const { line, notRun } of left)
        console.log(`      not run: ${page}:${line} (${notRun ?? 'scripts of the repository'})`);
      const runnable = blocks.filter((block) => !left.includes(block));
      if (runnable.length === 0) return;
      const { folder, path } = workplace();
      const cwd = join(folder, 'work');
      try {
        for (const { file, lines } of blocksOf(text))
          if (file) writeFileSync(join(cwd, file), lines.join('\n'));
        for (const block of runnable) {
          const env = { ...process.env, PATH: `${path}:${process.env['PATH']}` };
          const { status, stderr } = spawnSync('sh', ['-e', '-c', commandsOf(block)], {
            cwd,
            env,
            encoding: 'utf8',
          });
          assert.equal(status, 0, `${page}:${block.line}: ${stderr}`);
        }
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  }
});
