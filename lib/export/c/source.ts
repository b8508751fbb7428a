import { refuse } from '../../errors.ts';
import type { Graph } from '../../graph/graph.ts';
import type { Quantization } from '../../quant/quantizer.ts';
import { Listing } from './listing.ts';
import { C_ALIGNMENT, planArena } from './memory.ts';
import { comment, floatLiteral, prefixOf } from './names.ts';
import { type Operation, type Place, type Program, type ProgramPort, recordProgram } from './program.ts';
import { scratchOf, statementOf } from './statements.ts';
import type { Packing } from './weights.ts';

export interface CSourceOptions {
  /** What files and identifiers are named after; any text. */
  name: string;
  /** How 4-bit weights lie; *dense* by default. */
  packing?: Packing;
  /** float32 values, or uint8 levels of the inputs' own quantizers; float32 by default. */
  input?: 'float32' | 'uint8';
}

const PACKINGS: readonly Packing[] = ['dense', 'cmsis-nn-int4'];

/**
 * A quantized network (channels-last) as portable C99, one sample at a time: file name -> text of a header and a
 * source. One pair per network and no library beside it: functions are static, and only those that the network calls
 * are there.
 *
 * The generated `int PREFIX_run(const void *in, void *out, void *arena)` gives what the engine gives, to the bit: float32
 * in and out, all inputs and all outputs one after another. It allocates nothing, keeps nothing between calls and needs
 * no library but memcpy and memset. IEEE 754 floats are all that it asks of a target, by default rounding to nearest.
 *
 * Throws UNSUPPORTED_MODEL naming the node that runs in float and has no exact form in C (a float convolution, a Softmax,
 * a Sigmoid ...), INVALID_ARGUMENT for options that are none.
 */
export function cSource(
  graph: Graph,
  quantization: Quantization,
  options: CSourceOptions,
): Map<string, string> {
  const { name, packing = 'dense', input = 'float32' } = options;
  if (graph.layout !== 'channels-last') refuse('a graph in channels-last form', 'graph', graph.layout);
  if (typeof name !== 'string') refuse('a text', 'name', name);
  if (!PACKINGS.includes(packing)) refuse(PACKINGS.join(' or '), 'packing', packing);
  if (input !== 'float32' && input !== 'uint8') refuse('float32 or uint8', 'input', input);
  const program = recordProgram(graph, quantization, input);
  const ports = portsOf(program);
  const memory = planArena(program, ports.outside, scratchOf);
  const listing = new Listing();
  const published: string[] = [];
  const prefix = prefixOf(name);
  const pointer = (base: string, offset: number) => (offset === 0 ? base : `${base} + ${offset}`);
  const at = (place: Place): string => {
    const known = ports.pointers.get(place);
    if (known) return pointer(known.base, known.offset);
    const offset = memory.offsets.get(place);
    if (offset !== undefined) return pointer('a', offset);
    return place instanceof Float32Array
      ? `(const uint8_t *)${listing.floats('floats', place, 'a constant')}`
      : listing.bytes('bytes', place);
  };
  const statements = program.operations.map((operation, i) => {
    const scratch = memory.scratch[i];
    const statement = statementOf(operation, {
      listing,
      packing,
      at,
      scratch: scratch < 0 ? 'NULL' : `(int8_t *)(${pointer('a', scratch)})`,
      publish: packing === 'dense' ? null : publishTo(operation, prefix, listing, published),
    });
    return `    /* ${describe(operation)} */\n    ${statement}`;
  });
  for (const { from, to, bytes } of ports.copies)
    statements.push(`    memcpy(${pointer('y', to)}, ${at(from)}, ${bytes});`);
  const parts = { graph, quantization, program, prefix, packing, input, published };
  return new Map([
    [`${prefix}.h`, header({ ...parts, ...ports, arena: memory.arena, constants: listing.constantBytes })],
    [`${prefix}.c`, source(prefix, graph, listing, statements)],
  ]);
}

function describe({ node, verb }: Operation): string {
  return node ? comment(`${node.name} (${node.op})`) : verb;
}

/** Gives 4-bit weights a public name, which the header declares. */
function publishTo(operation: Operation, prefix: string, listing: Listing, published: string[]) {
  return (weights: Uint8Array): string => {
    const name = `${prefix}_int4_${published.length}`;
    listing.publicBytes(name, weights);
    published.push(
      `/* ${comment(operation.node?.name ?? '')} */\nextern const uint8_t ${name}[${weights.length}];`,
    );
    return name;
  };
}

interface Ports {
  /** Places of inputs and outputs: `x` or `y` and bytes from there. */
  pointers: Map<Place, { base: string; offset: number }>;
  /** Places of the plan that are outputs. */
  outside: Set<Place>;
  /** Outputs that are another's place under a second name, or an input. */
  copies: { from: Place; to: number; bytes: number }[];
  inputOffsets: number[];
  outputOffsets: number[];
  inputBytes: number;
  outputBytes: number;
}

/** Inputs and outputs one after another, each in a place of the caller's. */
function portsOf({ inputs, outputs, places }: Program): Ports {
  const pointers: Ports['pointers'] = new Map();
  const outside = new Set<Place>();
  const copies: Ports['copies'] = [];
  let [inputBytes, outputBytes] = [0, 0];
  const inputOffsets = inputs.map(({ place }) => {
    pointers.set(place, { base: 'x', offset: inputBytes });
    inputBytes += place.byteLength;
    return inputBytes - place.byteLength;
  });
  const outputOffsets = outputs.map(({ place }) => {
    if (places.has(place) && !pointers.has(place)) {
      pointers.set(place, { base: 'y', offset: outputBytes });
      outside.add(place);
    } else copies.push({ from: place, to: outputBytes, bytes: place.byteLength });
    outputBytes += place.byteLength;
    return outputBytes - place.byteLength;
  });
  return { pointers, outside, copies, inputOffsets, outputOffsets, inputBytes, outputBytes };
}

interface HeaderParts extends Ports {
  graph: Graph;
  quantization: Quantization;
  program: Program;
  prefix: string;
  packing: Packing;
  input: string;
  published: readonly string[];
  arena: number;
  constants: number;
}

function header(parts: HeaderParts): string {
  const { graph, program, prefix, packing, input, published, arena, constants } = parts;
  const upper = prefix.toUpperCase();
  const macros: [string, string | number][] = [
    ['ARENA_BYTES', arena],
    ['INPUT_BYTES', parts.inputBytes],
    ['OUTPUT_BYTES', parts.outputBytes],
    ['CONSTANT_BYTES', constants],
  ];
  program.inputs.forEach(({ port, place }, i) => {
    macros.push([`INPUT_${i}_OFFSET`, parts.inputOffsets[i]], [`INPUT_${i}_LENGTH`, place.length]);
    const quantizer = parts.quantization.activations.get(port.name);
    if (input === 'uint8' && quantizer)
      macros.push(
        [`INPUT_${i}_SCALE`, floatLiteral(quantizer.scale, port.name)],
        [`INPUT_${i}_ZERO_POINT`, quantizer.zeroPoint],
        [`INPUT_${i}_LOW`, quantizer.low],
        [`INPUT_${i}_HIGH`, quantizer.high],
      );
  });
  program.outputs.forEach(({ place }, i) => {
    macros.push([`OUTPUT_${i}_OFFSET`, parts.outputOffsets[i]], [`OUTPUT_${i}_LENGTH`, place.length]);
  });
  const defines = macros.map(([name, value]) => `#define ${upper}_${name} ${value}`);
  const short =
    prefix === 'sq'
      ? []
      : [
          '/* Short names for a program with one network; with several, define SQ_LONG_NAMES before their headers. */',
          '#ifndef SQ_LONG_NAMES',
          `#define sq_run ${prefix}_run`,
          ...macros.map(([name]) => `#define SQ_${name} ${upper}_${name}`),
          '#endif',
          '',
          '',
        ];
  const weights = published.length
    ? [`/* Weights of 4 bits, packed as ${packing}. */`, ...published, '']
    : [];
  return `/*
 * ${comment(graph.name || prefix)}: a quantized network, written by sigmaquant.
 *
${[...program.inputs.map((port) => portLine('in ', port, input)), ...program.outputs.map((port) => portLine('out', port, 'float32'))].join('\n')}
 *
 * Sizes are in bytes, offsets too, lengths in elements. The arena may be used for other things between runs. in, out
 * and arena may lie at any address (a multiple of ${C_ALIGNMENT} is fastest) and may not overlap.
 */
#ifndef ${upper}_H
#define ${upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

${defines.join('\n')}

${weights.join('\n')}/* Runs the network on one sample. Returns 0, or -1 where a pointer is null. */
int ${prefix}_run(const void *in, void *out, void *arena);

${short.join('\n')}#ifdef __cplusplus
}
#endif

#endif
`;
}

function portLine(kind: string, { port, shape }: ProgramPort, dtype: string): string {
  return ` * ${kind}: ${comment(port.name)}, ${dtype} [${shape.join(', ')}]`;
}

function source(prefix: string, graph: Graph, listing: Listing, statements: readonly string[]): string {
  const upper = prefix.toUpperCase();
  return `/* ${comment(graph.name || prefix)}: a quantized network, written by sigmaquant. C99; see ${prefix}.h. */
#include "${prefix}.h"

#include <float.h>
#include <math.h>
#include <string.h>
#if defined(__ARM_FEATURE_SIMD32)
#include <arm_acle.h>
#endif

#if FLT_RADIX != 2 || FLT_MANT_DIG != 24 || FLT_MAX_EXP != 128
#error "Expected a float of IEEE 754"
#endif

${listing.text()}

int ${prefix}_run(const void *in, void *out, void *arena)
{
    const uint8_t *const x = (const uint8_t *)in;
    uint8_t *const y = (uint8_t *)out;
    uint8_t *const a = (uint8_t *)arena;

    if (!x || !y || (!a && ${upper}_ARENA_BYTES > 0))
        return -1;
${statements.join('\n')}
    return 0;
}
`;
}
