import type { AllocationFile } from '../export/allocation.ts';
import type { HtmlReportInput } from './html.ts';
import { type Content, code, dataTable, details, html, type Markup, type Section } from './html-markup.ts';
import { shown } from './html-numbers.ts';
import { bar } from './html-verdict.ts';
import { moves } from './markdown.ts';
import { count, percent, plural, signed, significant, whole } from './numbers.ts';
import { columns } from './table.ts';

/** A longer trace is closed until somebody opens it. */
const OPEN_STEPS = 40;
/** Nodes in float that are named. */
const NAMED = 20;

/** Every step of the search, in order. */
export function traceSection({ allocation }: HtmlReportInput): Section {
  const { trace, strategy, recovery, evaluations } = allocation;
  const table = dataTable({
    caption: 'Steps of the search',
    columns: columns('>step', 'phase', 'moves', 'reason', '>bytes', '>drop', '>divergence', 'kept'),
    style: 'wide trace',
    rows: trace.map((step, index) => [
      String(index + 1),
      step.phase,
      moves(step.moves),
      step.reason,
      shown(step.cost['weightBytes'], whole),
      shown(step.measurement?.drop, (drop) => signed(drop)),
      shown(step.measurement?.divergence, (divergence) => significant(divergence)),
      step.kept ? 'yes' : 'no',
    ]),
  });
  return {
    id: 'trace',
    title: 'How the widths were found',
    reading: `Strategy ${strategy}, recovery ${recovery}: ${plural(evaluations, 'evaluation')} on validation data in ${plural(trace.length, 'step')}; a step moves layers from one width to another for the reason beside it, and is kept or taken back. The file allocation.json has every move.`,
    body:
      trace.length === 0
        ? null
        : trace.length <= OPEN_STEPS
          ? table
          : details(`All ${plural(trace.length, 'step')}`, table, false),
  };
}

/** All facts of all layers. */
export function layerSection({ allocation, explanations }: HtmlReportInput): Section {
  const { layers, floatNodes } = allocation;
  const why = new Map(explanations.map(({ layer, text }) => [layer, text]));
  const total = layers.reduce((sum, { weightBytes }) => sum + weightBytes, 0);
  const most = Math.max(1, ...layers.map(({ weightBytes }) => weightBytes));
  return {
    id: 'layers',
    title: 'Layers',
    reading: `Every layer with its width and what it takes; sigma is the standard deviation of its weights${why.size === 0 ? '' : '. Open a name to read why it has its width'}.`,
    body: html`${dataTable({
      caption: 'Layers',
      columns: columns(
        ...['layer', 'op', '>bits', '>input bits', '>weights', '>MACs', '>sigma', '>bytes', '>share', ''],
      ),
      style: 'wide',
      rows: layers.map((layer) => [
        nameCell(layer.name, why.get(layer.name)),
        layer.op,
        html`<strong>${layer.weights}</strong>`,
        String(layer.activations),
        whole(layer.weightCount),
        count(layer.macs),
        shown(layer.sigma, (sigma) => significant(sigma)),
        whole(layer.weightBytes),
        percent((100 * layer.weightBytes) / Math.max(1, total), 1),
        bar(layer.weightBytes / most, `bits-${layer.weights}`),
      ]),
    })}${floatNote(floatNodes)}`,
  };
}

function nameCell(name: string, why: string | undefined): Content {
  return why === undefined
    ? code(name)
    : html`<details><summary>${code(name)}</summary><p>${why}</p></details>`;
}

function floatNote(nodes: AllocationFile['floatNodes']): Content {
  if (nodes.length === 0) return null;
  const named = nodes
    .slice(0, NAMED)
    .map(({ name, op }, i) => html`${i > 0 ? ', ' : null}${code(name)} (${op})`);
  return html`<p>In float remain ${plural(nodes.length, 'node')}: ${named}${nodes.length > NAMED ? ' and more' : null}.</p>`;
}

/** What is needed to make all this again. */
export function madeBySection({ allocation, command }: HtmlReportInput): Section {
  const { data, model, exported } = allocation;
  const sources = (['calibration', 'validation', 'judged'] as const).flatMap((role) => {
    const used = data[role];
    return used ? [[role, code(used.name), whole(used.samples), code(used.sha256)]] : [];
  });
  return {
    id: 'made',
    title: 'Data and reproducibility',
    reading:
      'This command makes the same widths, integers and files again wherever model and data have the same content; hashes are SHA-256.',
    body: html`<pre id="command"><code>${command}</code></pre>
<p><button id="copy" type="button" hidden>Copy the command</button></p>
${
  sources.length === 0
    ? null
    : dataTable({ caption: 'Data', columns: columns('data', 'source', '>samples', 'content'), rows: sources })
}
<h3>Settings</h3>
${settings(allocation, [
  ['model', html`${code(model.name)} ${code(model.sha256)}`],
  ...(exported
    ? [
        [
          'exported',
          html`${code(exported.file)} (profile ${exported.profile}, opset ${exported.opset}) ${code(exported.sha256)}`,
        ] as [string, Content],
      ]
    : []),
])}`,
  };
}

function settings(allocation: AllocationFile, files: readonly [string, Content][]): Markup {
  const { tool, executor, seed, strategy, recovery, ranges, preprocessing } = allocation;
  return dataTable({
    caption: 'Settings',
    columns: columns('setting', 'value'),
    rows: [
      ...files,
      ['version', `${tool.name} ${tool.version}`],
      ...(executor ? [['executor', `${executor.name} ${executor.version}`]] : []),
      ['seed', String(seed)],
      ['strategy', strategy],
      ['recovery', recovery],
      ['activation ranges', ranges],
      ['preprocessing', code(JSON.stringify(preprocessing))],
    ],
  });
}
