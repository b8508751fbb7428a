import { refuse, SigmaQuantError } from '../errors.ts';
import { type AttributeTable, attributeTable, textsOf, writeAttributes } from './attributes.ts';
import { ByteWriter } from './byte-writer.ts';
import { crc32 } from './crc32.ts';
import { writeQuantizer } from './layers.ts';
import { CHECKSUM_BYTES, DTYPES, HEADER_BYTES, MAGIC, VERSION } from './layout.ts';
import type { PackedModel, PackedPort } from './model.ts';
import { writeNodes } from './nodes.ts';
import { writePreprocessing } from './preprocessing.ts';
import { readSqnt } from './reader.ts';
import { type Sink, writeText } from './sections.ts';
import { writeStrings } from './strings.ts';
import { writeTensor } from './tensors.ts';

/**
 * The file of a model: the same bytes for the same content, whatever order its maps have. Throws INVALID_ARGUMENT for
 * a model that readSqnt would refuse.
 */
export function writeSqnt(model: PackedModel): Uint8Array {
  for (const name of model.layers.keys())
    if (!model.nodes.some((node) => node.name === name)) refuse('the name of a node', 'a layer', name);
  const attributes = attributeTable(model.nodes);
  const manifest = new ByteWriter();
  const indices = writeStrings(manifest, allTexts(model, attributes));
  const sink: Sink = {
    manifest,
    weights: new ByteWriter(),
    constants: new ByteWriter(),
    indexOf: (text) => indices.get(text)!,
  };
  writeManifest(sink, model, attributes);
  const bytes = assemble(sink);
  checkReadable(bytes);
  return bytes;
}

function allTexts(model: PackedModel, attributes: AttributeTable): string[] {
  const { tool, version, source } = model.provenance;
  const ports = [...model.inputs, ...model.outputs];
  return [
    ...[model.name, tool, version, source.name],
    ...ports.flatMap(({ name, shape }) => [name, ...shape.filter((size) => typeof size === 'string')]),
    ...model.constants.keys(),
    ...textsOf(attributes),
    ...model.nodes.flatMap(({ name, op, inputs, outputs }) => [name, op, ...inputs, ...outputs]),
    ...model.activations.keys(),
  ];
}

/** In the order in which the reader can check each thing against what came before. */
function writeManifest(sink: Sink, model: PackedModel, attributes: AttributeTable): void {
  const { manifest } = sink;
  writeText(sink, model.name);
  manifest.count(model.opset);
  writeProvenance(sink, model);
  writePreprocessing(sink, model.preprocessing);
  writePorts(sink, model.inputs);
  writeSorted(sink, model.constants, (tensor, name) => writeTensor(sink, tensor, `constant ${name}`));
  writeAttributes(sink, attributes);
  writeNodes(sink, model, attributes);
  writePorts(sink, model.outputs);
  writeSorted(sink, model.activations, (quantizer) => writeQuantizer(sink, quantizer));
}

function writeProvenance(sink: Sink, { provenance: { tool, version, source } }: PackedModel): void {
  for (const text of [tool, version, source.name]) writeText(sink, text);
  if (!/^[0-9a-f]{64}$/.test(source.sha256))
    refuse('64 hexadecimal digits', 'the sha256 of the source', source.sha256);
  for (const pair of source.sha256.match(/../g)!) sink.manifest.byte(Number.parseInt(pair, 16));
}

/** A dimension is twice its size, or twice the index of its name and one. */
function writePorts(sink: Sink, ports: readonly PackedPort[]): void {
  const { manifest } = sink;
  manifest.count(ports.length);
  for (const { name, dtype, shape } of ports) {
    writeText(sink, name);
    manifest.byte(DTYPES.indexOf(dtype));
    manifest.count(shape.length);
    for (const size of shape)
      manifest.count(typeof size === 'string' ? 2 * sink.indexOf(size) + 1 : 2 * size);
  }
}

function writeSorted<T>(
  sink: Sink,
  map: ReadonlyMap<string, T>,
  write: (value: T, name: string) => void,
): void {
  sink.manifest.count(map.size);
  for (const name of [...map.keys()].sort()) {
    writeText(sink, name);
    write(map.get(name)!, name);
  }
}

function assemble({ manifest, weights, constants }: Sink): Uint8Array {
  const sections = [manifest, weights, constants];
  const end = HEADER_BYTES + sections.reduce((sum, { length }) => sum + length, 0);
  const bytes = new Uint8Array(end + CHECKSUM_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint16(4, VERSION, true);
  let at = HEADER_BYTES;
  sections.forEach((section, i) => {
    view.setUint32(8 + 4 * i, section.length, true);
    bytes.set(section.bytes, at);
    at += section.length;
  });
  view.setUint32(end, crc32(bytes.subarray(0, end)), true);
  return bytes;
}

/** One set of rules, the reader's, decides what a file may hold. */
function checkReadable(bytes: Uint8Array): void {
  try {
    readSqnt(bytes);
  } catch (cause) {
    if (!(cause instanceof SigmaQuantError)) throw cause;
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected a model that can be read back for model but received one whose file is refused: ${cause.message}`,
      { cause },
    );
  }
}
