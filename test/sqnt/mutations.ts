import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { compile } from '../../lib/engine/index.ts';
import { SigmaQuantError } from '../../lib/errors.ts';
import type { Kernels } from '../../lib/kernels/index.ts';
import { readOptions, unpackedModel } from '../../lib/runtime/unpack.ts';
import { type PackedModel, type ReadOptions, readSqnt } from '../../lib/sqnt/index.ts';
import { random } from '../contract/support.ts';
import { randomImage } from './models.ts';
import { repaired } from './repair.ts';

/** Values of mutants that are run: larger ones only cost time. */
const MOST_ELEMENTS = 1 << 16;
/** Of the mutants that unpack, one in so many is run. */
const RUN_EVERY = 4;
/** Errors that say that a file or what it describes is wrong. */
const REFUSALS = new Set(['MALFORMED_MODEL', 'UNSUPPORTED_MODEL', 'UNSUPPORTED_OPERATOR']);

export interface Counts {
  mutants: number;
  /** Refused by the reader, with a byte. */
  refused: number;
  /** Read well, and refused when its graph was checked. */
  unpackRefused: number;
  valid: number;
  ran: number;
  /** Compiling or running said with an error of ours that it cannot. */
  runRefused: number;
}

/** The model, or null where it is refused; anything but a refusal that names a byte is a failure. */
export function readOrRefuse(bytes: Uint8Array, options: ReadOptions = {}): PackedModel | null {
  try {
    return readSqnt(bytes, options);
  } catch (error) {
    assert.ok(error instanceof SigmaQuantError, String((error as Error).stack));
    assert.ok(error.code === 'MALFORMED_MODEL' || error.code === 'UNSUPPORTED_MODEL', error.message);
    const at = /^Expected .* at byte (\d+) but received /s.exec(error.message);
    assert.ok(at && Number(at[1]) <= bytes.length, error.message);
    return null;
  }
}

/** 1 to 8 edits: a byte set, a bit flipped, a piece repeated or cut out, the end cut off. */
function mutant(original: Uint8Array, next: () => number): Uint8Array {
  let bytes = original.slice();
  const below = (n: number) => Math.floor(next() * n);
  const edits = 1 + below(8);
  for (let i = 0; i < edits && bytes.length > 0; i++) {
    const at = below(bytes.length);
    const kind = below(20);
    if (kind < 10) bytes[at] = below(256);
    else if (kind < 16) bytes[at] ^= 1 << below(8);
    else if (kind < 18) bytes[at] = [0, 1, 127, 128, 255][below(5)];
    else {
      const length = below(8);
      const rest = bytes.subarray(kind === 18 ? at + length : at);
      bytes = new Uint8Array([...bytes.subarray(0, kind === 18 ? at : at + length), ...rest]);
    }
  }
  return bytes;
}

/** Lengths of sections that fit the file again after something was cut out or repeated. */
function refit(bytes: Uint8Array): void {
  if (bytes.length < 24) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const rest = view.getUint32(12, true) + view.getUint32(16, true);
  const manifest = bytes.length - 24 - rest;
  if (manifest >= 0) view.setUint32(8, manifest, true);
}

/**
 * Reads, unpacks and sometimes runs `count` mutants of a file, as sessions do; throws on anything but a result or a
 * refusal. `kernels` are checked ones. Every second mutant has the checksum of its bytes.
 */
export function mutations(original: Uint8Array, count: number, seed: number, kernels: Kernels): Counts {
  const next = random(seed);
  const options = readOptions({ crc32 }, kernels);
  const counts: Counts = { mutants: count, refused: 0, unpackRefused: 0, valid: 0, ran: 0, runRefused: 0 };
  for (let i = 0; i < count; i++) {
    const bytes = mutant(original, next);
    if (i % 2 === 1) {
      if (bytes.length !== original.length) refit(bytes);
      repaired(bytes);
    }
    try {
      examine(bytes, kernels, options, counts);
    } catch (error) {
      throw new Error(`mutant ${i} of seed ${seed}`, { cause: error });
    }
  }
  return counts;
}

function examine(bytes: Uint8Array, kernels: Kernels, options: ReadOptions, counts: Counts): void {
  const model = readOrRefuse(bytes, options);
  if (!model) {
    counts.refused++;
    return;
  }
  let unpacked: ReturnType<typeof unpackedModel>;
  try {
    unpacked = unpackedModel(model);
  } catch (error) {
    assert.ok(error instanceof SigmaQuantError && REFUSALS.has(error.code), String((error as Error).stack));
    counts.unpackRefused++;
    return;
  }
  counts.valid++;
  if (counts.valid % RUN_EVERY === 0) run(unpacked, kernels, counts);
}

function run(
  { graph, quantization }: ReturnType<typeof unpackedModel>,
  kernels: Kernels,
  counts: Counts,
): void {
  const elements = (shape: readonly (number | string)[]) =>
    shape.reduce<number>((product, size) => product * (typeof size === 'number' ? size : 1), 1);
  const types = [...graph.types.values(), ...graph.inputs];
  if (types.some(({ shape }) => elements(shape) > MOST_ELEMENTS) || graph.inputs.length !== 1) return;
  let executor: ReturnType<typeof compile> | undefined;
  try {
    executor = compile(graph, kernels, { quantization });
    executor.run(
      new Map([[graph.inputs[0].name, randomImage(graph)]]),
      graph.outputs.map(({ name }) => name),
    );
    counts.ran++;
  } catch (error) {
    assert.ok(error instanceof SigmaQuantError, String((error as Error).stack));
    counts.runRefused++;
  } finally {
    executor?.dispose();
  }
}
