// What npm's tools say of the package as it is published: publint, types for every way of importing (attw), sizes,
// nothing dead (knip), and the workflows (actionlint). Needs `npm run build`; prints what fails and exits with 1.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createLinter } from 'actionlint';

const root = fileURLToPath(new URL('..', import.meta.url));
const packages = join(root, 'out', 'packages');
const workflows = join(root, '.github', 'workflows');

/** Bytes at most. A page loads the browser's files; npm fetches the tarballs. */
const LIMITS = [
  [join('dist', 'runtime', 'browser.js'), 160_000],
  [join('dist', 'runtime', 'browser-worker.js'), 150_000],
  [join('dist', 'runtime', 'index.js'), 260_000],
  [join('dist', 'kernels.wasm'), 60_000],
  [join('dist', 'kernels-threads.wasm'), 60_000],
];
const TARBALL_LIMIT = 3_000_000;
/** GitHub's hosted runners; actionlint's own list is older. */
const RUNNERS = [
  'ubuntu-22.04',
  'ubuntu-22.04-arm',
  'ubuntu-24.04',
  'ubuntu-24.04-arm',
  'macos-15',
  'macos-15-intel',
  'windows-2025',
  'windows-11-arm',
];

let failed = false;

function check(name, passed, text = '') {
  console.log(`${passed ? 'ok  ' : 'FAIL'}  ${name}${passed ? '' : `\n${text}`}`);
  failed ||= !passed;
}

function tool(name, ...options) {
  const path = join(root, 'node_modules', '.bin', name);
  const { status, stdout, stderr } = spawnSync(path, options, {
    cwd: root,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  check([name, ...options].join(' '), status === 0, `${stdout}${stderr}`);
}

function within(path, limit) {
  const { size } = statSync(path);
  check(`${relative(root, path)}: ${size} of ${limit} bytes`, size <= limit);
}

const { status, stderr } = spawnSync(process.execPath, [join(root, 'scripts', 'packages.mjs'), packages], {
  encoding: 'utf8',
});
if (status !== 0) throw new Error(stderr);
const tarballs = readdirSync(packages).filter((name) => name.endsWith('.tgz'));
const main = tarballs.find((name) => /^sigmaquant-\d/.test(name));
for (const name of tarballs) within(join(packages, name), TARBALL_LIMIT);
for (const [path, limit] of LIMITS) within(join(root, path), limit);
tool('publint', '--strict', relative(root, join(packages, main)));
// Without the profile it asks for CommonJS files, which require() does without since Node 20.19.
tool('attw', relative(root, join(packages, main)), '--profile', 'esm-only');
tool('knip', '--no-progress');

const lint = await createLinter();
for (const name of readdirSync(workflows)) {
  const path = join(workflows, name);
  const found = lint(readFileSync(path, 'utf8'), path).filter(({ kind, message }) => {
    const label = kind === 'runner-label' && /^label "([^"]+)"/.exec(message)?.[1];
    return !RUNNERS.includes(label);
  });
  check(
    relative(root, path),
    found.length === 0,
    found.map(({ line, column, message }) => `${line}:${column} ${message}`).join('\n'),
  );
}
process.exitCode = failed ? 1 : 0;
