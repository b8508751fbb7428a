import { run } from '../../lib/cli/program.ts';
import { createTerminal } from '../../lib/cli/terminal.ts';

export interface Outcome {
  code: number;
  out: string;
  error: string;
}

/** Runs a command line in this process, with everything it prints caught. */
export async function sigmaquant(...argv: string[]): Promise<Outcome> {
  return interruptible(new AbortController().signal, ...argv);
}

export async function interruptible(signal: AbortSignal, ...argv: string[]): Promise<Outcome> {
  let out = '';
  let error = '';
  const terminal = createTerminal({
    out: (text) => void (out += text),
    error: (text) => void (error += text),
    interactive: false,
    width: () => 80,
    now: () => 0,
    signal,
  });
  const code = await run(argv, terminal, '1.2.3');
  return { code, out, error };
}
