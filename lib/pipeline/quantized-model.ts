import type { QuantizedNetwork } from '../analysis/index.ts';
import type { Preprocessing } from '../data/dataset.ts';
import { SigmaQuantError } from '../errors.ts';
import { readQdq } from '../export/qdq.ts';
import type { Graph } from '../graph/graph.ts';
import { unsupportedNodes } from '../graph/index.ts';
import { unpackedModel } from '../runtime/unpack.ts';
import { isSqnt, readSqnt } from '../sqnt/index.ts';
import { modelName, readBytes } from './files.ts';
import type { CommonOptions, ModelSource } from './options.ts';

/** A quantized network from a file, whichever form it has. */
export interface OpenedQuantized {
  name: string;
  form: 'qdq' | 'sqnt';
  network: QuantizedNetwork;
  /** What samples go through, as the file says; empty where it does not. */
  preprocessing: Preprocessing;
  /** sha256 of the float model that it was made from; null where the file does not say. */
  source: string | null;
}

/**
 * Reads a QDQ file or a packed one, told apart by their first bytes. Throws INVALID_ARGUMENT, MALFORMED_MODEL,
 * UNSUPPORTED_MODEL (a float model, say), UNSUPPORTED_OPERATOR.
 */
export async function openQuantized(
  model: ModelSource,
  inputShapes: CommonOptions['inputShapes'],
): Promise<OpenedQuantized> {
  const [name, bytes] =
    typeof model === 'string'
      ? [model, await readBytes(model, 'the quantized model')]
      : [model.name, model.bytes];
  const opened = isSqnt(bytes) ? fromSqnt(bytes) : fromQdq(bytes, inputShapes);
  checkOperators(opened.network.graph);
  return { name: modelName(name), ...opened };
}

function fromSqnt(bytes: Uint8Array): Omit<OpenedQuantized, 'name'> {
  const packed = readSqnt(bytes);
  const { graph, quantization } = unpackedModel(packed);
  const weightBits = new Map([...quantization.layers].map(([layer, { bits }]) => [layer, bits]));
  return {
    form: 'sqnt',
    network: { graph, quantization, weightBits },
    preprocessing: packed.preprocessing,
    source: packed.provenance.source.sha256,
  };
}

function fromQdq(
  bytes: Uint8Array,
  inputShapes: CommonOptions['inputShapes'],
): Omit<OpenedQuantized, 'name'> {
  const { graph, activations, weightBits, metadata } = readQdq(bytes, {
    ...(inputShapes ? { inputShapes } : {}),
  });
  const stored = (key: string) => parsed(metadata.get(`sigmaquant.${key}`));
  return {
    form: 'qdq',
    network: { graph, quantization: { activations, layers: new Map() }, weightBits },
    preprocessing: stored('preprocessing') as Preprocessing,
    source: (stored('source') as { sha256?: string }).sha256 ?? null,
  };
}

/** Metadata as our exporter writes it; empty where there is none. Throws MALFORMED_MODEL. */
function parsed(text: string | undefined): object {
  if (text === undefined) return {};
  try {
    return Object(JSON.parse(text));
  } catch (cause) {
    throw new SigmaQuantError(
      'MALFORMED_MODEL',
      `Expected JSON in the metadata of the quantized model but received ${JSON.stringify(text.slice(0, 40))}.`,
      { cause },
    );
  }
}

function checkOperators(graph: Graph): void {
  const [unknown] = unsupportedNodes(graph);
  if (unknown)
    throw new SigmaQuantError(
      'UNSUPPORTED_OPERATOR',
      `Expected operators that can be executed in the quantized model but received ${unknown.op} (node ${unknown.name}).`,
    );
}
