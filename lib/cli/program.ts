import { Command, CommanderError } from 'commander';
import { SigmaQuantError } from '../errors.ts';
import {
  benchCommand,
  common,
  debugCommand,
  devicesCommand,
  exportCommand,
  preprocessing,
  quantizeCommand,
  running,
  search,
  sweepCommand,
  workerCommand,
} from './command-flags.ts';
import { integer } from './flags.ts';
import type { Terminal } from './terminal.ts';
import { trainFlags } from './train-flags.ts';

/** 0 met, 3 to 5 the other verdicts, 2 bad arguments or input, 1 anything else, 130 interrupted. */
export const EXIT_CODES = {
  met: 0,
  'resource-only': 3,
  'accuracy-only': 4,
  impossible: 5,
  badInput: 2,
  failure: 1,
  interrupted: 130,
} as const;

export type Flags = Record<string, unknown>;
/**
 * Does the work of one command and says how it ended. `other` is the second argument, '' where a command has none.
 * Loaded only when asked for, so that --help is instant.
 */
export type Action = (model: string, flags: Flags, terminal: Terminal, other: string) => Promise<number>;

/** Columns of --help. */
const LAYOUT = { helpWidth: 100 };

function build(run: (chosen: Chosen) => void, version: string): Command {
  const program = new Command('sigmaquant')
    .description('Mixed-precision quantization of ONNX networks: every layer its own width, 2 to 8 bits')
    .version(version)
    .configureHelp(LAYOUT)
    .addHelpText(
      'after',
      '\nExit codes: 0 targets met, 3 only the ceilings hold, 4 only the accuracy floor holds, 5 neither,\n' +
        '2 bad arguments or input, 1 anything else, 130 interrupted.\n' +
        'With --json stdout holds one document; after an error it is { "error": { "code", "message" } }.',
    );
  const add = (name: string, configure: (command: Command) => Command) =>
    configure(program.command(name))
      .configureHelp(LAYOUT)
      .allowExcessArguments(false)
      .action((...values: unknown[]) => {
        const [flags, command] = values.slice(-2) as [Flags, Command];
        const [model = '', other = ''] = values.slice(0, -2) as string[];
        run({ command, model, other, flags });
      });
  add('quantize', quantizeCommand);
  add('plan', (command) =>
    search(common(command.description('Choose widths from the weights alone, without any data'))),
  );
  add('inspect', (command) =>
    common(command.description('Show layers, operators and sizes; works for any operator')),
  );
  add('evaluate', (command) =>
    preprocessing(
      running(common(command.description('Score a float network, or with --allocation a quantized one'))),
    )
      .option('--evaluate <DATA>', 'labelled samples (required)')
      .option('--allocation <PATH>', 'output folder of quantize, or its allocation.json')
      .option('--metric <FILE.mjs>', 'module that exports a function scoring samples, instead of top-1')
      .option('--samples <N>', 'samples at most', integer('samples')),
  );
  add('explain', (command) =>
    command
      .description('Say why a layer has its width, and what one bit more or less would do')
      .argument('<allocation>', 'output folder of quantize, or its allocation.json')
      .argument('<layer>', "the layer's name")
      .option('--json', 'print one JSON document on stdout and nothing else'),
  );
  add('debug', debugCommand);
  add('export', exportCommand);
  add('bench', benchCommand);
  add('devices', devicesCommand);
  add('train', (command) =>
    preprocessing(
      trainFlags(common(command.description('Train a float network on labelled samples, or from scratch'))),
    ),
  );
  add('sweep', sweepCommand);
  add('worker', workerCommand);
  return program;
}

const ACTIONS: Record<string, () => Promise<Action>> = {
  quantize: async () => (await import('./quantize.ts')).quantizeAction,
  plan: async () => (await import('./plan.ts')).planAction,
  inspect: async () => (await import('./inspect.ts')).inspectAction,
  evaluate: async () => (await import('./evaluate.ts')).evaluateAction,
  explain: async () => (await import('./explain.ts')).explainAction,
  debug: async () => (await import('./debug.ts')).debugAction,
  export: async () => (await import('./export.ts')).exportAction,
  bench: async () => (await import('./bench.ts')).benchAction,
  devices: async () => (await import('./devices.ts')).devicesAction,
  train: async () => (await import('./train.ts')).trainAction,
  sweep: async () => (await import('./sweep.ts')).sweepAction,
  worker: async () => (await import('./worker.ts')).workerAction,
};

/** All commands with their options, as published schemas need them. */
export function commands(): readonly Command[] {
  return build(() => {}, '').commands;
}

interface Chosen {
  command: Command;
  model: string;
  /** A second argument; '' where there is none. */
  other: string;
  flags: Flags;
}

function parse(argv: readonly string[], terminal: Terminal, version: string): Chosen {
  let chosen: Chosen | undefined;
  const program = build((given) => {
    chosen = given;
  }, version);
  for (const command of [program, ...program.commands])
    command.exitOverride().configureOutput({ writeOut: (text) => terminal.out(text), writeErr: () => {} });
  program.parse(argv, { from: 'user' });
  if (!chosen) throw new SigmaQuantError('INVALID_ARGUMENT', 'Expected a command but received none.');
  return chosen;
}

/** Runs one command line (without node and script) and returns its exit code; never throws. */
export async function run(argv: readonly string[], terminal: Terminal, version: string): Promise<number> {
  try {
    let chosen = parse(argv, terminal, version);
    const { configFlags } = await import('./config.ts');
    const configured = configFlags(chosen.command, argv);
    if (configured.length > 0) chosen = parse([...argv, ...configured], terminal, version);
    const action = await ACTIONS[chosen.command.name()]();
    const told = await tellingOfWasm(terminal, chosen.flags);
    return await action(chosen.model, chosen.flags, told, chosen.other);
  } catch (error) {
    return fail(error, argv, terminal);
  }
}

/** The same terminal; where the native kernels do not load and nobody asked for others, it says so when work begins. */
async function tellingOfWasm(terminal: Terminal, flags: Flags): Promise<Terminal> {
  if (flags['backend'] || process.env['SIGMAQUANT_BACKEND']) return terminal;
  const { nativeFailure } = await import('../kernels/native.ts');
  let told = false;
  const progress: Terminal['progress'] = (...state) => {
    const failure = told ? null : nativeFailure();
    told = true;
    if (failure) terminal.note(`note: ${failure.message} WebAssembly takes its place, and is slower.`);
    terminal.progress(...state);
  };
  return { ...terminal, progress };
}

/** Errors that the caller can mend by another argument or input. */
const INPUT_CODES = new Set<string>([
  'INVALID_ARGUMENT',
  'MALFORMED_MODEL',
  'UNSUPPORTED_OPERATOR',
  'UNSUPPORTED_MODEL',
  'DATA_MISMATCH',
  'DATA_UNREADABLE',
  'BACKEND_UNAVAILABLE',
  'OUTPUT_EXISTS',
]);

/** By name, since a loader may give this file and a lazily loaded one a class each. */
function isOurs(error: unknown): error is SigmaQuantError {
  return error instanceof Error && error.name === 'SigmaQuantError' && 'code' in error;
}

/** One sentence on stderr; with --json also `{ "error": { code, message } }` as the document on stdout. */
function fail(error: unknown, argv: readonly string[], terminal: Terminal): number {
  if (error instanceof CommanderError && error.exitCode === 0) return 0;
  terminal.clear();
  if (terminal.signal.aborted && error === terminal.signal.reason) {
    report('INTERRUPTED', 'Interrupted; nothing was written.', argv, terminal);
    return EXIT_CODES.interrupted;
  }
  if (error instanceof CommanderError) {
    report('INVALID_ARGUMENT', argumentSentence(error), argv, terminal);
    return EXIT_CODES.badInput;
  }
  if (isOurs(error)) {
    report(error.code, error.message, argv, terminal);
    if (error.code === 'TARGET_UNREACHABLE') return EXIT_CODES.impossible;
    return INPUT_CODES.has(error.code) ? EXIT_CODES.badInput : EXIT_CODES.failure;
  }
  const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined };
  report('INTERNAL', message, argv, terminal);
  if (stack) terminal.note(stack);
  return EXIT_CODES.failure;
}

function report(code: string, message: string, argv: readonly string[], terminal: Terminal): void {
  terminal.note(`sigmaquant: ${message}`);
  if (argv.includes('--json')) terminal.out(`${JSON.stringify({ error: { code, message } })}\n`);
}

/** Commander's words as our sentence: *Expected a known option but received --tarjet (did you mean --target?).* */
function argumentSentence(error: CommanderError): string {
  const text = error.message.replace(/^error: /, '');
  const hint = /\(Did you mean (one of )?(.*?)\?\)/s.exec(text);
  const suggestion = hint ? ` (did you mean ${hint[2]}?)` : '';
  const quoted = /'([^']*)'/.exec(text)?.[1] ?? '';
  switch (error.code) {
    case 'commander.unknownOption':
      return `Expected a known option but received ${quoted}${suggestion}.`;
    case 'commander.unknownCommand':
      return `Expected quantize, plan, inspect, evaluate, explain, debug, export, bench, devices, train, sweep or worker but received ${quoted}${suggestion}.`;
    case 'commander.missingArgument':
      return `Expected an argument for ${quoted} but received none.`;
    case 'commander.optionMissingArgument':
      return `Expected a value for ${quoted} but received none.`;
    case 'commander.excessArguments':
      if (text.includes("'devices'"))
        return 'Expected one verb and one subject but received more arguments (quote values that contain spaces).';
      return text.includes("'bench'")
        ? 'Expected only flags but received an argument (--model names a network).'
        : `Expected ${text.includes("'debug'") ? 'two models' : 'one model'} but received more arguments (quote values that contain spaces).`;
    case 'commander.help':
      return 'Expected a command (quantize, plan, inspect, evaluate, explain, debug, export, bench, devices, train, sweep or worker) but received none; --help explains them.';
    default: {
      const sentence = text.replaceAll('\n', ' ');
      return sentence.endsWith('.') ? sentence : `${sentence}.`;
    }
  }
}
