// Builds build/Release/sigmaquant.node with cmake-js, unless it is newer than everything it is made from. Where no
// compiler or no cmake is found it says so and leaves the package to WebAssembly; a compile error fails.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const product = join(root, 'build', 'Release', 'sigmaquant.node');
const JOBS = '2';

const age = (path) => statSync(path).mtimeMs;

function upToDate() {
  if (!existsSync(product)) return false;
  const native = join(root, 'native');
  const files = readdirSync(native, { recursive: true }).map((name) => join(native, name));
  const sources = [...files.filter((path) => statSync(path).isFile()), join(root, 'CMakeLists.txt')];
  return sources.every((path) => age(path) <= age(product));
}

const runs = (tool) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status === 0;

/** What the build lacks. On Windows CMake finds Visual Studio by itself, so only cmake is asked for. */
function missing() {
  const compilers = [process.env.CXX, 'c++', 'g++', 'clang++'].filter(Boolean);
  if (process.platform !== 'win32' && !compilers.some(runs)) return 'C++ compiler';
  return runs('cmake') ? undefined : 'cmake';
}

if (!upToDate()) {
  const lacking = missing();
  if (lacking) {
    console.log(`no ${lacking} found: continuing with WebAssembly`);
  } else {
    const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
    const options = ['compile', '--directory', root, '--out', join(root, 'build'), '--parallel', JOBS];
    const { status, stdout, stderr } = spawnSync(process.execPath, [cmakeJs, ...options], {
      cwd: root,
      encoding: 'utf8',
    });
    if (status !== 0) process.stderr.write(`${stdout}${stderr}`);
    process.exitCode = status === 0 ? 0 : 1;
  }
}
