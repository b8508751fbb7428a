import { type Command, Option } from 'commander';
import { group, integer, layerWidth, layerWidths, list, names, number, shape } from './flags.ts';
import { learning } from './learning-flags.ts';

/** What each command takes. */

function repeat<T>(parse: (text: string) => T): (text: string, before: T[] | undefined) => T[] {
  return (text, before) => [...(before ?? []), parse(text)];
}

export function common(command: Command): Command {
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

export function running(command: Command): Command {
  return command.addOption(
    new Option(
      '--executor <NAME>',
      'who evaluates networks; onnxruntime, where you installed onnxruntime-node, has more operators',
    ).choices(['engine', 'onnxruntime']),
  );
}

export function search(command: Command): Command {
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

export function preprocessing(command: Command): Command {
  return command
    .option('--resize <WxH>', 'resize images to this size first')
    .option('--crop <WxH>', 'then crop their centre')
    .option('--scale <X>', 'then x * scale, for example 1/255')
    .option('--mean <LIST>', 'then minus mean, one number or one per channel')
    .option('--std <LIST>', 'then divided by std');
}

export function quantizeCommand(command: Command): Command {
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

export function benchCommand(command: Command): Command {
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

export function debugCommand(command: Command): Command {
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

export function exportCommand(command: Command): Command {
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

export function devicesCommand(command: Command): Command {
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

export function sweepCommand(command: Command): Command {
  return quantizeCommand(command)
    .description('Accuracy of a model against a resource; of a plan (.json), every model and budget')
    .option('--resource <NAME>', 'what accuracy is traded against: size (default), bits, bops, energy, ...')
    .option('--points <N>', 'budgets at which widths are sought (default: 12)', integer('points'))
    .option('--pick <HOW>', 'write the artefacts of one point: knee, budget=120kB or drop=1')
    .option('--queue <URL>', 'hand the cells of a plan to workers: redis://host:port');
}

export function workerCommand(command: Command): Command {
  return command
    .description('Run cells of sweeps that others hand to a queue, until interrupted')
    .option('--queue <URL>', 'redis://host:port (required)')
    .option('--threads <N>', 'threads; results do not depend on them', integer('threads'));
}
