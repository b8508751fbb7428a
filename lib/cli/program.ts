import { Command, CommanderError, Option } from 'commander';
import { SigmaQuantError } from '../errors.ts';
import { group, integer, layerWidth, layerWidths, list, names, number, shape } from './flags.ts';
import { learning } from './learning-flags.ts';
import type { Terminal } from './terminal.ts';

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

function repeat<T>(parse: (text: string) => T): (text: string, before: T[] | undefined) => T[] {
  return (text, before) => [...(before ?? []), parse(text)];
}

function common(command: Command): Command {
  return execution(command.argument('<model>', 'ONNX file'));
}

function execution(command: Command): Command {
  return command
    .option(
      '--input-shape <NAME=DIMS>',
      'shape of an input that the model leaves open: input=1x3x224x224',
      repeat(shape),
    )
    .option('--threads <N>', 'threads; results do not depend on them', integer('threads'))
    .addOption(new Option('--backend <NAME>', 'kernels to use').choices(['native', 'wasm', 'reference']))
    .option('--config <FILE>', 'JSON file of options; flags win over it (default: sigmaquant.config.json)')
    .option('--no-config', 'read no such file')
    .option('--json', 'print one JSON document on stdout and nothing else');
}

function running(command: Command): Command {
  return command.addOption(
    new Option(
      '--executor <NAME>',
      'who evaluates networks; onnxruntime, where you installed onnxruntime-node, has more operators',
    ).choices(['engine', 'onnxruntime']),
  );
}

function search(command: Command): Command {
  return command
    .option(
      '--target <RESOURCE=LIMIT>',
      'ceiling, may be repeated: size=25%, bits=2.6, activation=64kB, energy=-20%:int8, latency=12ms',
      repeat((text) => text),
    )
    .option('--strategy <NAME>', 'how widths are chosen')
    .option('--bits <LIST>', 'widths offered for weights, within 2..8', list('bits'))
    .option('--activation-bits <LIST>', 'widths offered for activations: 8 or 4,8', list('activation-bits'))
    .option('--free-ends', 'let the first and the last layer take fewer than 8 bits')
    .option(
      '--pin <LAYER=BITS>',
      'give a layer this width, or all that fit /a pattern/; may be repeated',
      repeat(layerWidth),
    )
    .option('--ban <LAYER=LIST>', 'widths that a layer must not have; may be repeated', repeat(layerWidths))
    .option(
      '--group <WHAT>',
      'layers that share a width: add, concat or names a,b,c; may be repeated',
      repeat(group),
    )
    .option(
      '--minimize <RESOURCE>',
      'what to make least above a floor without targets: size, bops, energy, ...',
    )
    .option('--device <NAME|FILE>', 'whose energy, latency and area are meant; `devices` lists them')
    .option('--seed <N>', 'seed of every random choice', integer('seed'));
}

function preprocessing(command: Command): Command {
  return command
    .option('--resize <WxH>', 'resize images to this size first')
    .option('--crop <WxH>', 'then crop their centre')
    .option('--scale <X>', 'then x * scale, for example 1/255')
    .option('--mean <LIST>', 'then minus mean, one number or one per channel')
    .option('--std <LIST>', 'then divided by std');
}

function quantizeCommand(command: Command): Command {
  running(
    search(common(command.description('Choose a width for every layer and write the quantized network'))),
  );
  command
    .option('--calibration <DATA>', '.npz, folder of images or CIFAR binary; needs no labels (required)')
    .option('--validation <DATA>', 'labelled samples that the search may look at')
    .option('--evaluate <DATA>', 'labelled samples to judge on; without --validation half of them validate')
    .option('--max-drop <POINTS>', 'floor: percentage points that may be lost', number('max-drop'))
    .option('--min-accuracy <PERCENT>', 'floor: least accuracy', number('min-accuracy'))
    .option('--min-sqnr <DB>', 'floor: least signal to quantization noise of the outputs', number('min-sqnr'))
    .option('--metric <FILE.mjs>', 'module that exports a function scoring samples, instead of top-1');
  preprocessing(command);
  learning(command);
  return command
    .addOption(
      new Option('--ranges <METHOD>', 'how activation ranges are chosen').choices([
        'minmax',
        'percentile',
        'mse',
        'entropy',
      ]),
    )
    .option('--samples <N>', 'calibration samples at most', integer('samples'))
    .option('--evaluations <N>', 'evaluations that the search may spend', integer('evaluations'))
    .addOption(
      new Option('--opset <N>', 'opset of the exported file, within 13..26 (default: 21)').argParser(
        integer('opset'),
      ),
    )
    .option('--cache <DIR>', 'folder that a later run goes on from (default: OUT.cache)')
    .option('--no-cache', 'keep nothing for a later run')
    .option('--out <DIR>', 'folder to write (default: ./NAME.sigmaquant)')
    .option('--force', 'replace an earlier output');
}

function benchCommand(command: Command): Command {
  return command
    .description('Measure kernels on this processor, against the limits measured in the same run')
    .option(
      '--shape <MxNxK>',
      'matrix product, may be repeated: 196x256x2304',
      repeat((text) => text),
    )
    .option('--model <FILE>', "shapes of a network's layers, one sample")
    .option(
      '--input-shape <NAME=DIMS>',
      'shape of an input that the model leaves open: input=1x3x224x224',
      repeat(shape),
    )
    .option('--bits <LIST>', 'widths of weights, within 2..8', list('bits'))
    .option('--threads <LIST>', 'numbers of threads (default: 1)', list('threads'))
    .option('--backend <LIST>', 'among native, wasm, reference (default: the best)', names)
    .option('--isa <LIST>', 'instruction sets (default: the best)', names)
    .option('--all', 'every default shape, backend, instruction set, with one thread and with all')
    .option('--filter <REGEX>', 'only rows whose "op shape bits activations backend isa threads" fits')
    .option('--cold', 'empty the caches before every sample')
    .option('--rounds <N>', 'times that every row has its turn (default: 7)', integer('rounds'))
    .option('--compare <FILE>', 'an earlier --json: ratios by row')
    .option('--svg <FILE>', 'write a roofline chart')
    .option('--force', 'replace an earlier chart')
    .option('--markdown', 'print the tables as GitHub Markdown')
    .option('--json', 'print one JSON document on stdout and nothing else');
}

function debugCommand(command: Command): Command {
  const described = command
    .description('Show where a quantized network goes wrong: every layer against the float one')
    .argument('<float>', 'ONNX file of the float network')
    .argument('<quantized>', 'ONNX file in QDQ form, or .sqnt')
    .option('--data <DATA>', '.npz, folder of images or CIFAR binary; needs no labels (required)')
    .option('--samples <N>', 'samples at most (default: 32)', integer('samples'))
    .option('--svg <FILE>', 'write a chart of SQNR along the network')
    .option('--force', 'replace an earlier chart');
  return preprocessing(execution(described));
}

function exportCommand(command: Command): Command {
  return command
    .description('Write a quantized network in the form that a target reads')
    .argument('<model>', 'ONNX file of the float network')
    .option('--allocation <PATH>', 'output folder of quantize, or its allocation.json (required)')
    .option('--format <NAME>', 'ort, compact or qonnx; what each is for: docs/export.md (required)')
    .option('--opset <N>', 'opset of the exported file, within 13..26', integer('opset'))
    .option(
      '--input-shape <NAME=DIMS>',
      'shape of an input that the model leaves open: input=1x3x224x224',
      repeat(shape),
    )
    .option('--out <PATH>', 'file to write, or folder of a format that has several (default: NAME.FORMAT)')
    .option('--force', 'replace an earlier output')
    .option('--json', 'print one JSON document on stdout and nothing else');
}

function devicesCommand(command: Command): Command {
  return command
    .description('List devices; show, validate, import or measure one')
    .argument('[verb]', 'list, show, validate, import or measure (default: list)')
    .argument('[subject]', 'name or file of a device; CSV of timings')
    .option('--out <FILE>', 'device file to write (import, measure)')
    .option('--name <NAME>', 'name of the new device')
    .option('--threads <N>', 'threads to measure with (default: 1)', integer('threads'))
    .option('--rounds <N>', 'times that every kernel has its turn (measure)', integer('rounds'))
    .option('--force', 'replace an earlier file')
    .option('--json', 'print one JSON document on stdout and nothing else');
}

function sweepCommand(command: Command): Command {
  return quantizeCommand(command)
    .description('Accuracy of a model against a resource; of a plan (.json), every model and budget')
    .option('--resource <NAME>', 'what accuracy is traded against: size (default), bits, bops, energy, ...')
    .option('--points <N>', 'budgets at which widths are sought (default: 12)', integer('points'))
    .option('--pick <HOW>', 'write the artefacts of one point: knee, budget=120kB or drop=1')
    .option('--queue <URL>', 'hand the cells of a plan to workers: redis://host:port');
}

function workerCommand(command: Command): Command {
  return command
    .description('Run cells of sweeps that others hand to a queue, until interrupted')
    .option('--queue <URL>', 'redis://host:port (required)')
    .option('--threads <N>', 'threads; results do not depend on them', integer('threads'));
}

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
      return `Expected quantize, plan, inspect, evaluate, explain, debug, export, bench, devices, sweep or worker but received ${quoted}${suggestion}.`;
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
      return 'Expected a command (quantize, plan, inspect, evaluate, explain, debug, export, bench, devices, sweep or worker) but received none; --help explains them.';
    default: {
      const sentence = text.replaceAll('\n', ' ');
      return sentence.endsWith('.') ? sentence : `${sentence}.`;
    }
  }
}
