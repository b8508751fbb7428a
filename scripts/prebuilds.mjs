// Builds the addon as packages carry it: build-prebuilds/TARGET/prebuilds/PLATFORM-ARCH/*.node, of which node-gyp-build
// loads the one that fits. Stripped, and with a name that says which C library it was linked with where there are two.
//   node scripts/prebuilds.mjs [TARGET...]    by default for this machine, into prebuilds/ too, for npm pack
// TARGET is PLATFORM-ARCH, and -musl behind it on Alpine. Crossed on Debian: linux-arm64 (g++-aarch64-linux-gnu) and
// win32-x64 (g++-mingw-w64-x86-64-posix); Windows is built by GCC or Clang, never by Visual Studio. Needs cmake.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
/** The compilers' memory, more than the cores, limits how many run at once. */
const JOBS = process.env.CMAKE_BUILD_PARALLEL_LEVEL ?? '2';

/** Toolchains and `strip` of targets that are not this machine. */
const CROSS = {
  'linux-arm64': {
    toolchain: 'aarch64-linux-gnu',
    strip: 'aarch64-linux-gnu-strip',
    objdump: 'aarch64-linux-gnu-objdump',
  },
  'win32-x64': { toolchain: 'x86_64-w64-mingw32' },
};
/** macOS 11 is the first for both architectures. */
const APPLE_ARCHITECTURES = { x64: 'x86_64', arm64: 'arm64' };
const APPLE_TARGET = '11.0';

/** glibc and libstdc++ of Red Hat Enterprise Linux 8, the oldest system that Node 20 is built for. */
const OLDEST_LIBRARIES = { GLIBC: '2.28', GLIBCXX: '3.4.25' };

const musl = existsSync('/etc/alpine-release');
const here = `${process.platform}-${process.arch}${musl ? '-musl' : ''}`;

function fail(sentence, code = 1) {
  console.error(sentence);
  process.exit(code);
}

function run(tool, options) {
  const { status, error } = spawnSync(tool, options, { cwd: root, stdio: 'inherit' });
  if (status === 0) return;
  console.error(
    `Expected ${tool} to succeed but it ${error ? `did not start: ${error.message}` : `ended with ${status}`}.`,
  );
  process.exit(1);
}

/** What cmake must be told of a target. */
function definitionsOf(target) {
  const [platform, arch] = target.split('-');
  const headers = [
    require('node-api-headers').include_dir,
    dirname(require.resolve('node-addon-api/napi.h')),
  ];
  const definitions = {
    CMAKE_BUILD_TYPE: 'Release',
    NODE_ARCH: arch,
    CMAKE_JS_INC: headers.map((path) => path.replaceAll('\\', '/')).join(';'),
  };
  if (platform === 'darwin')
    return {
      ...definitions,
      CMAKE_OSX_ARCHITECTURES: APPLE_ARCHITECTURES[arch],
      CMAKE_OSX_DEPLOYMENT_TARGET: APPLE_TARGET,
      CMAKE_SHARED_LINKER_FLAGS: '-undefined dynamic_lookup',
    };
  if (target === here) return definitions;
  return { ...definitions, CMAKE_TOOLCHAIN_FILE: join(root, 'scripts', `${CROSS[target].toolchain}.cmake`) };
}

function build(target) {
  const [platform, arch, libc] = target.split('-');
  const sameSystem = platform === 'darwin' && process.platform === 'darwin';
  if (target !== here && !sameSystem && !Object.hasOwn(CROSS, target)) {
    const known = [...new Set([here, ...Object.keys(CROSS)])].join(', ');
    fail(`Expected one of ${known} but received ${target}: no toolchain for it is known here.`, 2);
  }
  const out = join(root, 'build-prebuilds', target);
  const definitions = Object.entries(definitionsOf(target)).map(([name, value]) => `-D${name}=${value}`);
  const generator = platform === 'win32' && target === here ? ['-G', 'Ninja'] : [];
  run('cmake', ['-S', root, '-B', out, ...generator, ...definitions]);
  run('cmake', ['--build', out, '--parallel', JOBS]);

  const name = platform === 'linux' ? `sigmaquant.${libc ?? 'glibc'}.node` : 'sigmaquant.node';
  const product = join(out, 'prebuilds', `${platform}-${arch}`, name);
  place(join(out, 'sigmaquant.node'), product);
  if (platform !== 'win32')
    run(
      target === here || sameSystem ? 'strip' : CROSS[target].strip,
      platform === 'darwin' ? ['-x', product] : [product],
    );
  if (platform === 'linux' && !libc) requireOldLibraries(target, product);
  if (target === here) place(product, join(root, 'prebuilds', `${platform}-${arch}`, name));
  console.log(`${target}: ${relative(root, product)}, ${statSync(product).size} bytes`);
}

/** Refuses an addon that asks for functions younger than the systems have on which the oldest Node runs. */
function requireOldLibraries(target, product) {
  const objdump = target === here ? 'objdump' : CROSS[target].objdump;
  const { stdout } = spawnSync(objdump, ['-T', product], { encoding: 'utf8' });
  for (const [library, newest] of Object.entries(OLDEST_LIBRARIES)) {
    const needed = [...stdout.matchAll(new RegExp(`\\b${library}_([0-9.]+)`, 'g'))].map(
      ([, version]) => version,
    );
    if (needed.length === 0)
      fail(`Expected ${objdump} to name versions of ${library} for ${product} but it names none.`);
    const young = needed.filter((version) => later(version, newest));
    if (young.length > 0)
      fail(`Expected an addon that needs ${library} ${newest} at most but ${product} needs ${young[0]}.`);
  }
}

/** Whether a is a later version than b. */
function later(a, b) {
  const [left, right] = [a.split('.').map(Number), b.split('.').map(Number)];
  const at = left.findIndex((part, i) => part !== (right[i] ?? 0));
  return at >= 0 && left[at] > (right[at] ?? 0);
}

/** A new file: one that a process has loaded must not be written to. */
function place(file, path) {
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });
  copyFileSync(file, path);
}

const targets = process.argv.slice(2);
if (targets.length === 0 && spawnSync('cmake', ['--version']).status !== 0) {
  console.log('no cmake found: the package carries WebAssembly alone');
  process.exit();
}
for (const target of targets.length > 0 ? targets : [here]) build(target);
