import type { AllocationFile } from '../export/allocation.ts';
import { amounts } from './amounts.ts';
import { accuracyCells } from './layers.ts';
import { bytes, count, percent, plural, signed, significant, whole } from './numbers.ts';
import { columns, markdownTable } from './table.ts';

/** Trace steps printed in full; the rest is in allocation.json. */
const TRACE_ROWS = 40;
/** Scale and bias of an output channel. */
const BYTES_PER_CHANNEL = 8;
/** Layers named in a sentence. */
const NAMED = 5;

export interface ReportInput {
  allocation: AllocationFile;
  /** Command line or call that makes this result again. */
  command: string;
  /** Size of the exported file. */
  fileBytes: number;
  /** Size of the packed file; null without one. */
  sqntBytes: number | null;
}

type Accuracy = NonNullable<AllocationFile['accuracy']>;

/** What a verdict means, without its word. */
export const VERDICTS: Record<AllocationFile['verdict'], string> = {
  met: 'every target is met.',
  'resource-only':
    'the ceilings hold, the accuracy floor does not; this is the best accuracy found within them.',
  'accuracy-only':
    'the accuracy floor holds, the ceilings do not; this is the smallest result found above it.',
  impossible: 'no allocation holds any of the targets; this is the closest point found.',
};

/** `report.md`: verdict first, then sizes, accuracy, layers, and why. Same input, same text. */
export function markdownReport(input: ReportInput): string {
  const { allocation } = input;
  return (
    [
      `# ${allocation.model.name}: quantized to ${significant(allocation.cost['averageBits'] ?? 0)} bits on average`,
      verdict(allocation),
      size(input),
      accuracySection(allocation),
      layerSection(allocation),
      speed(allocation),
      traceSection(allocation),
      reproduce(allocation, input.command),
    ].join('\n\n') + '\n'
  );
}

function verdict(allocation: AllocationFile): string {
  const asked = [
    ...allocation.targets.map(({ text }) => text),
    ...(allocation.floor ? [allocation.floor.text] : []),
  ];
  const lines = [
    `**Verdict: ${allocation.verdict}** - ${VERDICTS[allocation.verdict]}`,
    `Asked for: ${asked.length === 0 ? 'nothing in particular; the knee of the front was taken' : asked.map((text) => `\`${text}\``).join(', ')}.`,
  ];
  for (const warning of allocation.warnings) lines.push(`**Note:** ${warning}`);
  if (allocation.reachable)
    lines.push(
      `Closest reachable: ${amounts(allocation.reachable.cost)}${
        allocation.reachable.measurement
          ? `, a drop of ${signed(allocation.reachable.measurement.drop)} points`
          : ''
      }.`,
    );
  const feasible = allocation.feasible.filter(({ ask }) => ask.length > 0);
  if (feasible.length > 0)
    lines.push(
      'Targets nearby that were met when measured, nearest first:',
      feasible.map(({ ask }) => `- \`${ask.join(' ')}\``).join('\n'),
    );
  if (allocation.binding.length > 0)
    lines.push(
      'Layers that bind, worst first:',
      allocation.binding
        .slice(0, NAMED)
        .map(({ layer, reason }) => `- \`${layer}\`: ${reason}`)
        .join('\n'),
    );
  return lines.join('\n\n');
}

function size({ allocation, fileBytes, sqntBytes }: ReportInput): string {
  const weightBytes = allocation.cost['weightBytes'];
  const saved = allocation.floatBytes / weightBytes;
  const table = {
    columns: columns('', '>bytes', '>of float'),
    rows: [
      ['float weights (32 bits)', whole(allocation.floatBytes), '100.0 %'],
      [
        'all layers at 8 bits',
        whole(uniformBytes(allocation, 8)),
        share(uniformBytes(allocation, 8), allocation),
      ],
      ['**this result, packed**', whole(weightBytes), share(weightBytes, allocation)],
      ...(sqntBytes === null
        ? []
        : [['packed file, `model.sqnt`', whole(sqntBytes), share(sqntBytes, allocation)]]),
      ['exported ONNX file', whole(fileBytes), share(fileBytes, allocation)],
    ],
  };
  return [
    '## Storage',
    `Weights take ${bytes(weightBytes)} instead of ${bytes(allocation.floatBytes)}: ${saved.toFixed(1)} times less. Counted are, for every layer, its weights at their width, and 4 bytes of scale and 4 of bias per output channel.`,
    markdownTable(table),
    `The exported file stores one byte for each weight whatever its width, since that is what runtimes execute in integers; ${sqntBytes === null ? 'there is no packed file, since the network has operators that the runtime of sigmaquant lacks' : 'the packed file stores them at their widths, beside the graph'}.`,
  ].join('\n\n');
}

/** Weight bytes if every layer had this width. */
export function uniformBytes(allocation: AllocationFile, bits: number): number {
  const excess = allocation.cost['weightBytes'] - sumOf(allocation.layers, ({ weightBytes }) => weightBytes);
  return (
    excess +
    sumOf(
      allocation.layers,
      ({ weightCount, outChannels }) => Math.ceil((weightCount * bits) / 8) + BYTES_PER_CHANNEL * outChannels,
    )
  );
}

function sumOf<T>(list: readonly T[], pick: (item: T) => number): number {
  return list.reduce((sum, item) => sum + pick(item), 0);
}

function share(value: number, allocation: AllocationFile): string {
  return percent((100 * value) / allocation.floatBytes, 1);
}

function accuracySection(allocation: AllocationFile): string {
  const rows: string[][] = [];
  const row = (title: string, a: Accuracy | null) => {
    if (a) rows.push([title, a.metric, ...accuracyCells(a)]);
  };
  row('validation (the search saw it)', allocation.validation);
  row('judged once, unseen', allocation.accuracy);
  const text = ['## Accuracy'];
  if (rows.length === 0) text.push('Nothing was measured.');
  else {
    text.push(
      markdownTable({
        columns: columns('samples', 'metric', '>float', '>quantized', '>drop', '>95 % of the drop', '>count'),
        rows,
      }),
    );
    text.push(
      'The drop is float minus quantized in percentage points on the same samples; its interval is paired, sample by sample.',
    );
  }
  if (!allocation.accuracy)
    text.push('No labelled samples were left to judge on, so the accuracy on unseen data is not known.');
  return text.join('\n\n');
}

function layerSection(allocation: AllocationFile): string {
  const total = sumOf(allocation.layers, ({ weightBytes }) => weightBytes);
  const rows = allocation.layers.map((layer) => [
    layer.name,
    layer.op,
    whole(layer.parameters),
    count(layer.macs),
    significant(layer.sigma),
    String(layer.weights),
    String(layer.activations),
    whole(layer.weightBytes),
    percent((100 * layer.weightBytes) / total, 1),
  ]);
  const text = [
    '## Layers',
    markdownTable({
      columns: columns(
        'layer',
        'op',
        '>parameters',
        '>MACs',
        '>sigma',
        '>bits',
        '>input bits',
        '>bytes',
        '>share',
      ),
      rows,
    }),
    whereBytesWent(allocation, total),
  ];
  if (allocation.floatNodes.length > 0)
    text.push(
      `In float remain ${plural(allocation.floatNodes.length, 'node')}: ${allocation.floatNodes
        .slice(0, 4 * NAMED)
        .map(({ name, op }) => `\`${name}\` (${op})`)
        .join(', ')}${allocation.floatNodes.length > 4 * NAMED ? ', ...' : ''}.`,
    );
  return text.join('\n\n');
}

function whereBytesWent(allocation: AllocationFile, total: number): string {
  const widths = [...new Set(allocation.layers.map(({ weights }) => weights))].sort((a, b) => a - b);
  const rows = widths.map((bits) => {
    const layers = allocation.layers.filter(({ weights }) => weights === bits);
    return [
      String(bits),
      String(layers.length),
      whole(sumOf(layers, ({ weightCount }) => weightCount)),
      whole(sumOf(layers, ({ weightBytes }) => weightBytes)),
      percent((100 * sumOf(layers, ({ weightBytes }) => weightBytes)) / total, 1),
    ];
  });
  return `Where the bytes went:\n\n${markdownTable({ columns: columns('>bits', '>layers', '>weights', '>bytes', '>share'), rows })}`;
}

function speed(allocation: AllocationFile): string {
  const narrow = allocation.quantizers.filter(({ bits }) => bits < 8).length;
  return [
    '## Speed',
    `Widths below 8 bits save storage, not time, in runtimes that compute in bytes (onnxruntime among them): there every layer of this file runs as 8-bit integers at the same speed.${
      allocation.floatNodes.length > 0 ? ' Nodes that remain in float cost a conversion on both sides.' : ''
    }${narrow > 0 ? ` ${plural(narrow, 'activation')} of fewer bits cost a \`Clip\` each.` : ''}`,
  ].join('\n\n');
}

function traceSection(allocation: AllocationFile): string {
  const shown = allocation.trace.slice(-TRACE_ROWS);
  const skipped = allocation.trace.length - shown.length;
  const rows = shown.map((step, index) => [
    String(skipped + index + 1),
    step.phase,
    moves(step.moves),
    step.reason,
    step.cost['weightBytes'] === undefined ? '-' : whole(step.cost['weightBytes']),
    step.measurement ? signed(step.measurement.drop) : '-',
    step.kept ? 'yes' : 'no',
  ]);
  const text = [
    '## How the widths were found',
    `Strategy \`${allocation.strategy}\`, recovery \`${allocation.recovery}\`, ${plural(allocation.evaluations, 'evaluation')} on validation data, ${plural(allocation.trace.length, 'step')}${skipped > 0 ? `, of which the last ${TRACE_ROWS} are shown` : ''}.`,
  ];
  if (rows.length > 0)
    text.push(
      markdownTable({
        columns: columns('>step', 'phase', 'moves', 'reason', '>bytes', '>drop', 'kept'),
        rows,
      }),
      'All of it, with costs and divergences, is in `allocation.json`.',
    );
  return text.join('\n\n');
}

/** The first two moves of a step, and how many more there are. */
export function moves(list: AllocationFile['trace'][number]['moves']): string {
  if (list.length === 0) return '-';
  const text = list
    .slice(0, 2)
    .map(({ layer, from, to, of }) => `${of ? 'input of ' : ''}${layer} ${from} to ${to}`);
  return list.length > 2 ? `${text.join(', ')} and ${list.length - 2} more` : text.join(', ');
}

/** Our own engine is not worth naming. */
function ranOn({ executor }: AllocationFile): string {
  if (executor?.name !== 'onnxruntime') return '';
  return ` The float network and every candidate, in the form of the exported file, were run by onnxruntime ${executor.version}.`;
}

function reproduce(allocation: AllocationFile, command: string): string {
  const { data } = allocation;
  const rows = (['calibration', 'validation', 'judged'] as const).flatMap((role) => {
    const used = data[role];
    return used ? [[role, used.name, whole(used.samples), used.sha256.slice(0, 16)]] : [];
  });
  const text = [
    '## Made by',
    `\`\`\`sh\n${command}\n\`\`\``,
    `sigmaquant ${allocation.tool.version}, seed ${allocation.seed}.${ranOn(allocation)}`,
  ];
  if (rows.length > 0)
    text.push(markdownTable({ columns: columns('data', 'source', '>samples', 'content'), rows }));
  return text.join('\n\n');
}
