import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Builds the programs of the C++ rivals from Debian's libraries. `npm --prefix benchmarks run build:rivals` */

const PROGRAMS = {
  onednn: { library: 'dnnl', header: 'dnnl.hpp', package: 'libdnnl-dev' },
  openblas: { library: 'openblas', header: 'cblas.h', package: 'libopenblas-dev' },
} as const;
export type Program = keyof typeof PROGRAMS;

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Path of the program, built where it is missing or older than its source. Throws a sentence that says what is missing. */
export function buildProgram(name: Program, folder = here('../build')): string {
  const { library, header, package: needed } = PROGRAMS[name];
  const program = join(folder, process.platform === 'win32' ? `${name}.exe` : name);
  const sources = [here(`${name}.cpp`), here('protocol.h')];
  const newest = Math.max(...sources.map((path) => statSync(path).mtimeMs));
  if (existsSync(program) && statSync(program).mtimeMs > newest) return program;
  const compiler = process.env['CXX'] ?? 'c++';
  try {
    execFileSync(compiler, ['-E', '-x', 'c++', '-include', header, '/dev/null'], { stdio: 'ignore' });
  } catch {
    throw new Error(`it is not installed: apt-get install g++ ${needed}`);
  }
  mkdirSync(folder, { recursive: true });
  execFileSync(compiler, [
    '-std=c++17',
    '-O2',
    '-Wall',
    '-Wextra',
    sources[0],
    '-o',
    program,
    `-l${library}`,
  ]);
  return program;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const name of Object.keys(PROGRAMS) as Program[]) {
    try {
      console.log(`${name}: ${buildProgram(name)}`);
    } catch (error) {
      console.log(`${name} is left out: ${(error as Error).message}.`);
    }
  }
}
