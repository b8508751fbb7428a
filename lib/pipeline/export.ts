import { refuse } from '../errors.ts';
import { checkOpset, type Format, type FormatSource, formatOf, type OnnxFormat } from '../export/formats.ts';
import { type Forecast, ONNXRUNTIME, preflight } from '../export/preflight.ts';
import type { LayerForecast } from '../export/preflight-layers.ts';
import { quantizationOf, withStoredFloats } from '../export/read-back.ts';
import { writeModel } from '../onnx/index.ts';
import { openAllocation } from './allocation-file.ts';
import { modelMetadata } from './artefacts.ts';
import { refuseExisting, refuseExistingFile, writeDirectory, writeNewFile } from './files.ts';
import { openModel } from './model.ts';
import { nodeHost } from './node-host.ts';
import type { CommonOptions } from './options.ts';

/** What `exportModel` takes. */
export interface ExportOptions extends Pick<CommonOptions, 'model' | 'inputShapes' | 'signal'> {
  /** Output folder of `quantize`, or the `allocation.json` in it. */
  allocation: string;
  /** A row of the table of formats: ort, compact, qonnx, ... */
  format: string;
  /** Default: what the format needs. */
  opset?: number;
  /** File or folder; nothing is written without it. */
  out?: string;
  /** Replaces an earlier output. */
  force?: boolean;
}

/** A forecast by the rules of one release. */
export interface ExportForecast extends Omit<Forecast, 'layers'> {
  version: string;
  layers: ExportedLayer[];
}

/** A layer of an exported file, and what onnxruntime will do with it. */
export interface ExportedLayer extends LayerForecast {
  /** Width of the weights; null for a layer that stayed float. */
  bits: number | null;
}

/** The document of `export --json`. */
export interface ExportSummary {
  model: string;
  format: string;
  /** Null for a format that is no ONNX file. */
  opset: number | null;
  files: { name: string; bytes: number }[];
  /** What onnxruntime's CPU provider will do with the file; null for a format that is no ONNX file. */
  onnxruntime: ExportForecast | null;
  /** Sentences on what a reader of the file should know. */
  notes: string[];
  /** Where they were written; null where no `out` was given. */
  out: string | null;
}

export interface ExportResult extends ExportSummary {
  /** Name -> content. Not part of the JSON document. */
  contents: ReadonlyMap<string, string | Uint8Array>;
}

type Contents = ExportResult['contents'];

/** Where the output of a format goes by default. */
export function exportPath(name: string, format: string): string {
  return formatOf(format).kind === 'onnx' ? `${name}.${format}.onnx` : `${name}.${format}`;
}

/**
 * A quantized network in another form: the integers that `quantize` chose, the operators of the float model. Nothing
 * is half-written, nothing overwritten without `force`. Throws INVALID_ARGUMENT, OUTPUT_EXISTS, MALFORMED_MODEL,
 * UNSUPPORTED_MODEL where the format has no form of a node.
 */
export async function exportModel(options: ExportOptions): Promise<ExportResult> {
  const { format: name, opset, out, force = false, signal } = options;
  const format = formatOf(name);
  if (opset !== undefined) checkAsked(format, name, opset);
  if (out !== undefined && format.kind === 'onnx') await refuseExistingFile(out, 'out', force);
  signal?.throwIfAborted();
  const model = await openModel(options, nodeHost);
  const { allocation, bytes } = await openAllocation(options.allocation, model);
  const quantization = quantizationOf(bytes);
  const source: FormatSource = {
    graph: withStoredFloats(model.graph, bytes, quantization),
    quantization,
    metadata: modelMetadata(model, allocation.preprocessing, nodeHost.version),
  };
  const made =
    format.kind === 'onnx'
      ? onnxFile(format, source, exportPath(model.name, name), opset)
      : { opset: null, contents: format.files(source), onnxruntime: null, notes: [] };
  signal?.throwIfAborted();
  if (out !== undefined) await write(out, format, made.contents, force, signal);
  return {
    model: model.name,
    format: name,
    ...made,
    files: [...made.contents].map(([file, content]) => ({ name: file, bytes: Buffer.byteLength(content) })),
    out: out ?? null,
  };
}

function checkAsked(format: Format, name: string, opset: number): void {
  if (format.kind !== 'onnx') refuse(`no opset for format ${name}`, 'opset', opset);
  checkOpset(opset);
}

function onnxFile(format: OnnxFormat, source: FormatSource, name: string, asked: number | undefined) {
  const opset = asked ?? format.opset(source);
  const file = format.model(source, opset);
  const { layers, ...forecast } = preflight(file);
  const widths = source.quantization.layers;
  const onnxruntime: ExportForecast = {
    version: ONNXRUNTIME,
    ...forecast,
    layers: layers.map((own) => ({ ...own, bits: widths.get(own.layer)?.bits ?? null })),
  };
  const bytes = writeModel(file);
  format.check(bytes, source.quantization);
  const contents: Contents = new Map([[name, bytes]]);
  return { opset, contents, onnxruntime, notes: format.notes?.(source) ?? [] };
}

async function write(
  out: string,
  format: Format,
  contents: Contents,
  force: boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (format.kind === 'onnx') {
    const [content] = contents.values();
    await writeNewFile(out, 'out', content, force);
    return;
  }
  await refuseExisting(out, force, [...contents.keys()]);
  await writeDirectory(out, Object.fromEntries(contents), { force, ...(signal ? { signal } : {}) });
}
