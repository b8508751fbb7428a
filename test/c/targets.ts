import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const board = fileURLToPath(new URL('board/', import.meta.url));

/** Strict C99, and what the sources promise to be free of. */
const STRICT = ['-std=c99', '-pedantic', '-Wall', '-Wextra', '-Werror'];

/** A compiler and what runs its programs. */
export interface Target {
  name: string;
  compiler: string;
  flags: readonly string[];
  /** Behind all sources. */
  link: readonly string[];
  machine: 'hosted' | 'cortex';
  /** Command that runs the program, which is its last argument; none where the processor is this one's. */
  emulator: readonly string[];
  /** Prints the sections of an object file. */
  size: string;
}

const CORTEX_M4 = ['-mcpu=cortex-m4', '-mthumb', '-ffunction-sections', '-fdata-sections'];
const MPS2 =
  'qemu-system-arm -M mps2-an386 -nographic -monitor none -serial none -semihosting-config enable=on,target=native -kernel';

const cortex = (name: string, ...flags: string[]): Target => ({
  name,
  compiler: 'arm-none-eabi-gcc',
  flags: ['-O2', ...CORTEX_M4, ...flags],
  link: ['-nostartfiles', '-Wl,--gc-sections', '-T', join(board, 'mps2.ld')],
  machine: 'cortex',
  emulator: MPS2.split(' '),
  size: 'arm-none-eabi-size',
});

const hosted = (name: string, compiler: string, flags: readonly string[], emulator = ''): Target => ({
  name,
  compiler,
  flags,
  link: emulator ? ['-static'] : [],
  machine: 'hosted',
  emulator: emulator ? [emulator] : [],
  size: emulator ? 'aarch64-linux-gnu-size' : 'size',
});

export const TARGETS = {
  gcc: hosted('gcc', 'gcc', ['-O2']),
  sanitized: hosted('gcc, address and undefined-behaviour sanitizers', 'gcc', [
    '-O0',
    '-fsanitize=address,undefined',
    '-fno-sanitize-recover=all',
  ]),
  clang: hosted('clang', 'clang', ['-O2']),
  /** Everything that a compiler may do to floats without being told to break them. */
  contracted: hosted('gcc -O3 -march=native -ffp-contract=fast', 'gcc', [
    '-O3',
    '-march=native',
    '-ffp-contract=fast',
  ]),
  /** The x87 unit, where intermediate results have 64 bits of mantissa and casts need not round. */
  x87: hosted('gcc -mfpmath=387', 'gcc', ['-O2', '-mfpmath=387', '-fexcess-precision=fast']),
  arm64: hosted('aarch64-linux-gnu-gcc', 'aarch64-linux-gnu-gcc', ['-O2'], 'qemu-aarch64'),
  cortexM4: cortex('arm-none-eabi-gcc -mcpu=cortex-m4', '-mfloat-abi=hard', '-mfpu=fpv4-sp-d16'),
  cortexM4Soft: cortex('arm-none-eabi-gcc -mcpu=cortex-m4 -mfloat-abi=soft', '-mfloat-abi=soft'),
} as const;

function isFound(command: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      execFileSync(join(folder, command), ['--version'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  });
}

/** The first tool of a target that is not installed; null where all are. */
export function missingTool({ compiler, emulator }: Target): string | null {
  return [compiler, ...emulator.slice(0, 1)].find((tool) => !isFound(tool)) ?? null;
}

export interface BuiltNetwork {
  /** What every identifier of it begins with. */
  prefix: string;
  files: ReadonlyMap<string, string>;
}

/** Sections of one object file in bytes. */
export interface Sections {
  text: number;
  data: number;
  bss: number;
}

/** A folder with the sources of networks, until `dispose`. */
export class Workshop {
  readonly folder = mkdtempSync(join(tmpdir(), 'sigmaquant-c-'));
  readonly #networks: readonly BuiltNetwork[];

  constructor(networks: readonly BuiltNetwork[]) {
    this.#networks = networks;
    const includes = networks.map(({ prefix }) => `#include "${prefix}.h"`);
    const list = networks.map(({ prefix }) => `X(${prefix}, ${prefix.toUpperCase()})`);
    this.#write('networks.h', `${includes.join('\n')}\n#define NETWORKS(X) ${list.join(' ')}\n`);
    for (const { files } of networks) for (const [name, text] of files) this.#write(name, text);
  }

  /**
   * Compiles everything for a target and runs it there: `samples` inputs of each network one behind the other, all
   * outputs in the same order. Throws with the compiler's or the program's words.
   */
  run(target: Target, inputs: Uint8Array, samples: number): Uint8Array {
    return this.#runMain(target, 'main.c', inputs, [`-DSAMPLES=${samples}`]);
  }

  /** Instructions that one run of the only network takes on an emulated Cortex-M, to the nearest 40. */
  instructions(target: Target, input: Uint8Array): number {
    const [command, ...rest] = target.emulator;
    const counting = { ...target, emulator: [command, '-icount', 'shift=0', ...rest] };
    const counted = this.#runMain(counting, 'count.c', input, []);
    return new DataView(counted.buffer, counted.byteOffset).getUint32(0, true);
  }

  /** What the only network takes where it is linked with all that it calls and nothing else, compiled for size. */
  sections(target: Target): Sections {
    const [{ prefix }] = this.#networks;
    const program = join(this.folder, 'alone');
    const flags = target.flags.filter((flag) => !flag.startsWith('-O'));
    const link = ['-nostartfiles', '-Wl,--gc-sections', `-Wl,-e,${prefix}_run`];
    execFileSync(target.compiler, [...STRICT, ...flags, '-Os', `${prefix}.c`, '-o', program, ...link], {
      cwd: this.folder,
    });
    const [, row] = execFileSync(target.size, [program], { encoding: 'utf8' }).split('\n');
    const [text, data, bss] = row.trim().split(/\s+/).map(Number);
    return { text, data, bss };
  }

  #runMain(target: Target, main: string, inputs: Uint8Array, defines: readonly string[]): Uint8Array {
    const program = join(this.folder, 'program');
    const sources = this.#networks.map(({ prefix }) => `${prefix}.c`);
    const machine = [join(board, main), join(board, `${target.machine}.c`)];
    const flags = [...STRICT, ...target.flags, ...defines, '-I.', `-I${board}`];
    execFileSync(target.compiler, [...flags, ...sources, ...machine, '-o', program, ...target.link], {
      cwd: this.folder,
    });
    writeFileSync(join(this.folder, 'in.bin'), inputs);
    rmSync(join(this.folder, 'out.bin'), { force: true });
    const [command, ...values] = [...target.emulator, program];
    execFileSync(command, values, { cwd: this.folder });
    return readFileSync(join(this.folder, 'out.bin'));
  }

  dispose(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #write(name: string, text: string): void {
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(join(this.folder, name), text);
  }
}
