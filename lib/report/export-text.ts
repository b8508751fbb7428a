import type { Refusal } from '../export/preflight.ts';
import type { Execution, LayerForecast } from '../export/preflight-layers.ts';
import { bytes, plural } from './numbers.ts';
import { columns, textTable } from './table.ts';

/** What `export` tells people. */
export interface ExportReport {
  model: string;
  format: string;
  opset: number | null;
  files: readonly { bytes: number }[];
  out: string | null;
  notes: readonly string[];
  onnxruntime: {
    version: string;
    loads: boolean;
    refusals: readonly Refusal[];
    layers: readonly (LayerForecast & { bits: number | null })[];
  } | null;
}

const NAMES: Readonly<Record<Execution, string>> = {
  integer: 'integer',
  float: 'float',
  refused: 'REFUSED',
};

/** What was written and, for an ONNX file, what onnxruntime does with every layer. */
export function exportText({ model, format, opset, files, out, notes, onnxruntime }: ExportReport): string {
  const size = files.reduce((sum, file) => sum + file.bytes, 0);
  const form = opset === null ? format : `${format}, opset ${opset}`;
  const count = files.length === 1 ? '' : `, ${files.length} files`;
  return [
    `${model}: ${form}, ${bytes(size)}${count}${out === null ? '' : `, written to ${out}`}`,
    ...(onnxruntime ? ['', forecastText(onnxruntime)] : []),
    ...notes.map((note) => `note: ${note}`),
    '',
  ].join('\n');
}

function forecastText({
  version,
  loads,
  refusals,
  layers,
}: NonNullable<ExportReport['onnxruntime']>): string {
  const table = textTable({
    columns: columns('layer', 'op', '>bits', 'stored as', `onnxruntime ${version}`, 'kernel', 'why'),
    rows: layers.map((own) => [
      own.layer,
      own.op,
      own.bits === null ? '-' : String(own.bits),
      own.weights,
      NAMES[own.execution],
      own.kernel ?? '-',
      own.reason,
    ]),
  });
  const counts = (Object.keys(NAMES) as Execution[])
    .map(
      (execution) => [NAMES[execution], layers.filter((own) => own.execution === execution).length] as const,
    )
    .filter(([, amount]) => amount > 0)
    .map(([name, amount]) => `${amount} ${name}`);
  const advice = new Set(layers.flatMap((own) => own.advice ?? []));
  return [
    table,
    '',
    `onnxruntime ${version}, CPU: ${loads ? 'loads' : 'does NOT load'} the file; ${plural(layers.length, 'layer')}${counts.length > 0 ? `, ${counts.join(', ')}` : ''}`,
    ...refusals.map(
      ({ node, reason, advice: way }) => `refused: ${node === null ? '' : `${node}: `}${reason}; ${way}`,
    ),
    ...[...advice].map((text) => `instead: ${text}`),
  ].join('\n');
}
