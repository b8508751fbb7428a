import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { buildProgram, type Program } from './build.ts';
import type { Contender, Rival } from './contender.ts';
import { multipliers, type Problem } from './problem.ts';

/** Rivals that are C++ libraries: each a small program that takes turns over a pipe (protocol.h). */

/** Options of `open`: what the program computes. Weights go as [outChannels][taps][channels], data as files. */
type Options = Record<string, string | number>;

const REQUESTS: Record<Program, (problem: Problem) => Options | null> = {
  onednn({ trial, gemm, conv }) {
    const { op, activations: src } = trial;
    const dst = op === 'gemm' ? 's32' : src;
    if (op === 'gemm' || op === 'gemm-requantize' || op === 'float-gemm')
      return { op: 'matmul', src, dst, ...gemm! };
    return conv === undefined ? null : { op: 'conv', src, dst, ...conv };
  },
  openblas: ({ trial, gemm }) => (trial.op === 'float-gemm' ? { op: 'sgemm', dst: 'f32', ...gemm! } : null),
};

const ELEMENTS = { s32: Int32Array, f32: Float32Array, u8: Uint8Array, s8: Int8Array };

/** Builds the program where that is needed and starts it. Throws where it cannot. */
export async function loadProgram(name: Program, threads: number): Promise<Rival> {
  const child = spawn(buildProgram(name), [], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, OMP_NUM_THREADS: String(threads), OPENBLAS_NUM_THREADS: String(threads) },
  });
  // What it leaves unanswered is told by `ask`.
  child.stdin.on('error', () => {});
  const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-rivals-'));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  /** One line there, one line back: `ok ...` or `error ...`. */
  const ask = async (line: string): Promise<string> => {
    child.stdin.write(`${line}\n`);
    const { value, done } = await lines.next();
    if (done) throw new Error(`its program ended at: ${line}`);
    const [outcome, rest] = /^(ok|error) ?(.*)$/.exec(value)?.slice(1) ?? ['error', value];
    if (outcome === 'error') throw new Error(rest);
    return rest;
  };
  const open = async (problem: Problem, request: Options): Promise<Contender> => {
    const { a, w, bias } = problem;
    const options: Options = { ...request };
    for (const [key, data] of Object.entries({ a, w, bias, factors: multipliers(problem) })) {
      const path = join(folder, key);
      writeFileSync(path, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      options[key] = path;
    }
    const words = Object.entries(options).map(([key, value]) => `${key}=${value}`);
    return {
      way: await ask(`open ${words.join(' ')}`),
      run: async (calls) => Number(await ask(`run ${calls}`)),
      async output() {
        const path = join(folder, 'out');
        await ask(`save ${path}`);
        return new ELEMENTS[request['dst'] as keyof typeof ELEMENTS](
          new Uint8Array(readFileSync(path)).buffer,
        );
      },
      close: async () => void (await ask('close')),
    };
  };
  return {
    version: await ask('version'),
    ways(problem) {
      const request = REQUESTS[name](problem);
      return request === null ? [] : [() => open(problem, request)];
    },
    async close() {
      child.stdin.end();
      rmSync(folder, { recursive: true });
    },
  };
}
