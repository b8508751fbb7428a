/**
 * Whether `debug` finds what is wrong: in each network one layer at a time is damaged in the exported file, in every
 * way of damages.ts, and `debug` must name it as the first that breaks; the file as it was exported must accuse none.
 * Damage that changes nothing on the samples is not counted.
 * `npm --prefix benchmarks run damage -- [--pairs FILE] [--only REGEXP] [--target bits=4] [--layers N] [--samples N]
 * [--exported DIR] [--json]`. With --exported the files DIR/NAME.onnx are taken, else each network is quantized first.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { debug, quantize } from '../lib/index.ts';
import { DAMAGES, damaged, quantizedLayers } from './damages.ts';
import { loadPairs, type Pair, typedPath } from './pairs.ts';
import { type Column, markdownTable } from './results.ts';

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    only: { type: 'string' },
    target: { type: 'string', default: 'bits=4' },
    layers: { type: 'string', default: '8' },
    samples: { type: 'string', default: '32' },
    exported: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

/** One layer damaged in one way. */
interface Attempt {
  layer: string;
  bits: number;
  damage: string;
  named: string | null;
  /** Of the damaged layer by itself, decibels. */
  sqnr: number;
  due: number;
  /** Of the outputs against the float network. */
  outputSqnr: number;
}

interface Row {
  network: string;
  layers: number;
  /** Layers that are accused in the file as it was exported. */
  accused: string[];
  outputSqnr: number;
  attempts: Attempt[];
}

async function trial(pair: Pair): Promise<Row> {
  const { name, model, preprocessing } = pair;
  const bytes = await exportedFile(pair);
  const examine = (quantized: Uint8Array) =>
    debug({
      float: model,
      quantized: { name, bytes: quantized },
      data: pair.evaluate,
      preprocessing,
      samples: Number(flags.samples),
    });
  const healthy = await examine(bytes);
  const attempts: Attempt[] = [];
  const layers = quantizedLayers(bytes);
  for (const layer of chosen(layers, Number(flags.layers)))
    for (const damage of Object.keys(DAMAGES)) {
      const file = damaged(bytes, layer, damage);
      if (!file) continue;
      const result = await examine(file);
      const [row, before] = [result, healthy].map(
        ({ layers }) => layers.find((entry) => entry.name === layer)!,
      );
      // A channel that a Relu never lets through, say: the network computes what it did.
      if (row.own.sqnr === before.own.sqnr && result.outputs[0].sqnr === healthy.outputs[0].sqnr) continue;
      const attempt = {
        layer,
        bits: row.weightBits!,
        damage,
        named: result.firstBreak,
        sqnr: row.own.sqnr,
        due: row.own.due,
        outputSqnr: result.outputs[0].sqnr,
      };
      attempts.push(attempt);
      if (result.firstBreak !== layer) console.error(`${name}: ${describe(attempt)}`);
    }
  return {
    network: name,
    layers: layers.length,
    accused: healthy.layers.filter(({ breaks }) => breaks !== null).map((layer) => layer.name),
    outputSqnr: healthy.outputs[0].sqnr,
    attempts,
  };
}

async function exportedFile({ name, model, calibration, preprocessing }: Pair): Promise<Uint8Array> {
  if (flags.exported !== undefined) return readFileSync(join(typedPath(flags.exported), `${name}.onnx`));
  const options = { model, calibration, preprocessing, targets: [flags.target], evaluations: 2, samples: 64 };
  return (await quantize(options)).artefacts.model;
}

function describe({ layer, bits, damage, named, sqnr, due, outputSqnr }: Attempt): string {
  return `${damage} in ${layer} (${bits} bits): ${named ?? 'none'} named; ${sqnr.toFixed(1)} dB by itself, ${due.toFixed(1)} due, outputs ${outputSqnr.toFixed(1)} dB`;
}

/** At most `count`, evenly spread, the first and the last among them. */
function chosen(layers: readonly string[], count: number): string[] {
  if (layers.length <= count) return [...layers];
  return Array.from({ length: count }, (_, i) => layers[Math.round((i * (layers.length - 1)) / (count - 1))]);
}

const isHit = ({ layer, named }: Attempt) => layer === named;

function share(attempts: readonly Attempt[]): string {
  return `${attempts.filter(isHit).length} of ${attempts.length}`;
}

const rows: Row[] = [];
for (const pair of loadPairs(flags.pairs, flags.only)) rows.push(await trial(pair));

const networks: Column<Row>[] = [
  { title: 'network', text: (row) => row.network },
  { title: 'layers', right: true, text: (row) => String(row.layers) },
  { title: 'accused undamaged', right: true, text: (row) => row.accused.join(', ') || 'none' },
  { title: 'named, of damaged', right: true, text: ({ attempts }) => share(attempts) },
  ...Object.keys(DAMAGES).map(
    (damage): Column<Row> => ({
      title: damage,
      right: true,
      text: ({ attempts }) => share(attempts.filter((attempt) => attempt.damage === damage)),
    }),
  ),
];
console.log(flags.json ? JSON.stringify(rows) : markdownTable(rows, networks));
