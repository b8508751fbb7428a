import { refuse } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { toChannelsLast } from '../graph/index.ts';
import type { FileModel } from '../onnx/index.ts';
import type { Quantization } from '../quant/quantizer.ts';
import { type CSourceOptions, cSource } from './c/index.ts';
import { compactModel, compactOpset } from './compact.ts';
import { OPSETS } from './file-model.ts';
import { leastOpset } from './opset.ts';
import { ortModel } from './ort.ts';
import { offCentre, qonnxModel } from './qonnx.ts';
import { checkReadBack } from './read-back.ts';
import { checkStoredWeights } from './stored-weights.ts';

/** The first whose tensors have metadata: `ort` says widths there. */
const METADATA_OPSET = 21;
/** Values that a note names. */
const NAMED = 4;

/** A quantized network, as every format is made from it. */
export interface FormatSource {
  /** ONNX form. */
  graph: Graph;
  quantization: Quantization;
  /** Where it comes from and what its samples go through; ONNX files have it as model metadata. */
  metadata: ReadonlyMap<string, string>;
}

/** One ONNX file. */
export interface OnnxFormat {
  kind: 'onnx';
  description: string;
  /** Opset where none is asked for. */
  opset(source: FormatSource): number;
  /** Throws UNSUPPORTED_MODEL where the opset has no form of a node. */
  model(source: FormatSource, opset: number): FileModel;
  /** Reads the file back; throws INTERNAL where it holds other integers than it should. */
  check(bytes: Uint8Array, quantization: Quantization): void;
  /** Sentences on what a reader of the file should know. */
  notes?(source: FormatSource): string[];
}

/** A folder of files: name -> content. */
export interface FolderFormat {
  kind: 'folder';
  description: string;
  files(source: FormatSource): ReadonlyMap<string, string | Uint8Array>;
}

export type Format = OnnxFormat | FolderFormat;

/** Every format that a quantized network can be exported to, one row each. */
export const formats: Readonly<Record<string, Format>> = {
  ort: {
    kind: 'onnx',
    description: 'integers from end to end: the fastest in onnxruntime',
    opset: ({ graph }) => Math.max(METADATA_OPSET, leastOpset(graph)),
    model: ({ graph, quantization, metadata }, opset) => ortModel(graph, quantization, { opset, metadata }),
    check: checkReadBack,
  },
  compact: {
    kind: 'onnx',
    description: 'weights packed to 2, 4 or 8 bits, computed in float: the smallest ONNX file',
    opset: ({ graph, quantization }) => compactOpset(graph, quantization),
    model: ({ graph, quantization, metadata }, opset) =>
      compactModel(graph, quantization, { opset, metadata }),
    check: checkStoredWeights,
  },
  qonnx: {
    kind: 'onnx',
    description: 'IntQuant behind weights and activations: for FINN, hls4ml and other tools of qonnx',
    opset: ({ graph }) => leastOpset(graph),
    model: ({ graph, quantization, metadata }, opset) => qonnxModel(graph, quantization, { opset, metadata }),
    check: checkStoredWeights,
    notes: ({ quantization }) => offCentreNotes(quantization),
  },
  c: {
    kind: 'folder',
    description: 'C99 for microcontrollers: weights packed at their own widths, one function, no library',
    files: (source) => cFiles(source, {}),
  },
  'c-uint8': {
    kind: 'folder',
    description: 'the same, fed with the levels of its input in bytes',
    files: (source) => cFiles(source, { input: 'uint8' }),
  },
  'c-cmsis-nn': {
    kind: 'folder',
    description: 'the same, weights of 4 bits as CMSIS-NN packs them',
    files: (source) => cFiles(source, { packing: 'cmsis-nn-int4' }),
  },
};

/** Named after the model's file. */
function cFiles(
  { graph, quantization, metadata }: FormatSource,
  options: Omit<CSourceOptions, 'name'>,
): Map<string, string> {
  const { name } = JSON.parse(metadata.get('sigmaquant.source') ?? '{}') as { name?: string };
  return cSource(toChannelsLast(graph), quantization, { name: name ?? graph.name, ...options });
}

function offCentreNotes(quantization: Quantization): string[] {
  const names = offCentre(quantization);
  if (names.length === 0) return [];
  const shown = names.slice(0, NAMED).join(', ') + (names.length > NAMED ? ', ...' : '');
  return [
    `${names.length} of ${quantization.activations.size} values have a zero point other than 0 (${shown}); tools that take none, such as the conversion of qonnx to QuantizeLinear, leave these IntQuant as they are.`,
  ];
}

/** The row of a format. Throws INVALID_ARGUMENT. */
export function formatOf(name: string): Format {
  if (Object.hasOwn(formats, name)) return formats[name];
  return refuse(`one of ${Object.keys(formats).join(', ')}`, 'format', name);
}

/** Throws INVALID_ARGUMENT for an opset that is not written. */
export function checkOpset(opset: number): void {
  const { oldest, newest } = OPSETS;
  if (!(Number.isInteger(opset) && opset >= oldest && opset <= newest))
    refuse(`a whole number from ${oldest} to ${newest}`, 'opset', opset);
}
