import type { AllocationFile } from '../export/allocation.ts';
import type { HtmlReportInput } from './html.ts';
import { type Content, code, dataTable, html, type Markup, nothing, type Section } from './html-markup.ts';
import { amount, isKnown, resourceOf, shown, UNKNOWN } from './html-numbers.ts';
import { accuracyCells } from './layers.ts';
import { uniformBytes, VERDICTS } from './markdown.ts';
import { bytes, percent, signed, whole } from './numbers.ts';
import { columns } from './table.ts';

type Accuracy = NonNullable<AllocationFile['accuracy']>;
type Verdict = AllocationFile['verdict'];

/** Colour and mark of a verdict; its word says the same. */
const TONES: Record<Verdict, readonly [tone: string, mark: string]> = {
  met: ['good', '\u2713'],
  'resource-only': ['warn', '\u25d0'],
  'accuracy-only': ['warn', '\u25d1'],
  impossible: ['bad', '\u2717'],
};
const FLOOR_HOLDS: readonly Verdict[] = ['met', 'accuracy-only'];
/** Layers that bind, by name. */
const NAMED = 5;

/** The sentence, what was asked beside what came, and what a careful reader should know. */
export function verdictSection({ allocation }: HtmlReportInput): Section {
  const { verdict, warnings } = allocation;
  const [tone, mark] = TONES[verdict];
  return {
    id: 'verdict',
    title: verdict,
    reading: '',
    body: html`<p class="verdict ${tone}"><span aria-hidden="true">${mark}</span> <strong>${verdict}</strong>: ${VERDICTS[verdict]}</p>
${askedTable(allocation)}
<p>${judgedSentence(allocation)}</p>
${warnings.map((warning) => html`<p class="note">Note: ${warning}</p>\n`)}${reachable(allocation)}${feasible(allocation)}${binding(allocation)}`,
  };
}

function askedTable({ targets, floor, cost, verdict, validation, accuracy }: AllocationFile): Content {
  const rows: Content[][] = targets.map(({ resource, limit, text }) => {
    const { title, unit } = resourceOf(resource);
    const holds = cost[resource] === undefined ? null : cost[resource] <= limit;
    return [code(text), held(holds), amount(cost[resource], unit), `at most ${amount(limit, unit)}`, title];
  });
  if (floor) {
    const decibels = validation?.metric === 'sqnr';
    const limit = decibels ? floor.text : `at most ${shown(floor.maxDrop, signed)}`;
    const what = decibels ? 'SQNR' : 'drop';
    const came = (a: Accuracy) =>
      decibels ? qualityText(a, a.quantized) : `${dropText(a)}${intervalText(a, ' (', ')')}`;
    const row = (a: Accuracy, holds: boolean | null, where: string) =>
      rows.push([code(floor.text), held(holds), came(a), limit, `${what} on ${where}`]);
    if (validation) row(validation, FLOOR_HOLDS.includes(verdict), 'validation, which the search saw');
    if (accuracy)
      row(accuracy, isKnown(accuracy.drop) ? accuracy.drop <= floor.maxDrop : null, 'unseen samples');
  }
  if (rows.length === 0)
    return html`<p>Nothing in particular was asked for; the knee of the front was taken.</p>`;
  return dataTable({
    caption: 'What was asked and what came',
    columns: columns('asked', 'held', '>came', '>limit', 'of'),
    style: 'asked',
    rows,
  });
}

function held(holds: boolean | null): Markup {
  if (holds === null) return html`<span class="quiet">${UNKNOWN}</span>`;
  return holds ? html`<span class="held">\u2713 yes</span>` : html`<span class="missed">\u2717 no</span>`;
}

const dropText = (a: Accuracy | null) => shown(a?.drop, (drop) => signed(drop));

function qualityText(a: Accuracy | null, value: number | null): string {
  return shown(value, (known) => (a?.metric === 'sqnr' ? `${known.toFixed(2)} dB` : percent(known)));
}

function judgedSentence({ accuracy }: AllocationFile): Content {
  if (!accuracy)
    return 'No labelled samples were left to judge on, so the accuracy on unseen data is not known.';
  return html`On ${whole(accuracy.samples)} samples that the search never saw, ${accuracy.metric} is <strong>${qualityText(accuracy, accuracy.quantized)}</strong>${
    accuracy.float === null
      ? null
      : html` (float ${qualityText(accuracy, accuracy.float)}): a drop of <strong>${dropText(accuracy)}</strong> percentage points${intervalText(accuracy, ', 95 % interval ')}`
  }.`;
}

/** The paired 95 % interval of the drop between two texts; nothing where there is none. */
function intervalText({ interval }: Accuracy, before: string, after = ''): string {
  if (!interval?.every(isKnown)) return '';
  return `${before}${signed(interval[0])} to ${signed(interval[1])}${after}`;
}

function reachable({ reachable: closest }: AllocationFile): Markup {
  if (!closest) return nothing;
  const parts = Object.entries(closest.cost).map(([name, value]) => {
    const { title, unit } = resourceOf(name);
    return `${title} ${amount(value, unit)}`;
  });
  if (closest.measurement) parts.push(`a drop of ${shown(closest.measurement.drop, signed)} on validation`);
  return html`<p>Closest reachable: ${parts.join(', ')}.</p>\n`;
}

function feasible({ feasible: points }: AllocationFile): Markup {
  const asks = points.filter(({ ask }) => ask.length > 0);
  if (asks.length === 0) return nothing;
  return html`<p>Targets nearby that were met when measured, nearest first:</p>
<ul>${asks.map(({ ask }) => html`<li>${code(ask.join(' '))}</li>\n`)}</ul>
`;
}

function binding({ binding: layers }: AllocationFile): Markup {
  if (layers.length === 0) return nothing;
  const rest = layers.length - NAMED;
  return html`<p>Layers that bind, worst first:</p>
<ul>${layers.slice(0, NAMED).map(({ layer, reason }) => html`<li>${code(layer)}: ${reason}</li>\n`)}${rest > 0 ? html`<li>and ${rest} more</li>` : null}</ul>
`;
}

/** The few numbers that most readers came for, and where the bytes are. */
export function numberSection(input: HtmlReportInput): Section {
  const { allocation } = input;
  const { cost, floatBytes } = allocation;
  const int8 = uniformBytes(allocation, 8);
  const times = (from: number) => shown(from / cost['weightBytes'], (factor) => `${factor.toFixed(1)} times`);
  const accuracy = allocation.accuracy ?? allocation.validation;
  const tiles: [title: string, value: string, beside: string][] = [
    [
      'Weights',
      amount(cost['weightBytes'], 'B'),
      `${times(floatBytes)} smaller than float, ${times(int8)} than INT8`,
    ],
    [
      'Average width',
      amount(cost['averageBits'], 'bits'),
      `${allocation.layers.length} layers, weights only`,
    ],
  ];
  if (accuracy) {
    const [float, , drop] = accuracyCellsOf(accuracy);
    const where = allocation.accuracy ? 'unseen samples' : 'validation, which the search saw';
    tiles.push(
      [
        `${accuracy.metric}, quantized`,
        qualityText(accuracy, accuracy.quantized),
        accuracy.float === null ? where : `float ${float}, on ${where}`,
      ],
      ['Drop', accuracy.drop === null ? drop : `${drop} points`, dropBeside(accuracy)],
    );
  }
  return {
    id: 'numbers',
    title: 'Key numbers',
    reading:
      'Weights count every layer at its width, with 4 bytes of scale and 4 of bias per output channel; the drop is float minus quantized in percentage points on the same samples.',
    body: html`<dl class="tiles">${tiles.map(([title, value, beside]) => html`<div><dt>${title}</dt><dd class="value">${value}</dd><dd class="beside">${beside}</dd></div>\n`)}</dl>
${sizeTable(input, int8)}`,
  };
}

function accuracyCellsOf(a: Accuracy): string[] {
  const clean = (value: number | null) => (isKnown(value) ? value : null);
  const cells = accuracyCells({ ...a, float: clean(a.float), drop: clean(a.drop), interval: null });
  return cells.map((cell) => (cell === '-' ? UNKNOWN : cell));
}

const dropBeside = (a: Accuracy) =>
  intervalText(a, '95 % interval ') ||
  (a.drop === null ? 'there is none for this metric' : 'percentage points');

function sizeTable({ allocation, fileBytes, sqntBytes }: HtmlReportInput, int8: number): Markup {
  const { floatBytes, cost } = allocation;
  const rows: [string, number, boolean][] = [
    ['float weights, 32 bits', floatBytes, false],
    ['all layers at 8 bits', int8, false],
    ['this result', cost['weightBytes'], true],
    ...(sqntBytes === null
      ? []
      : [['packed file, model.sqnt', sqntBytes, false] as [string, number, boolean]]),
    ['ONNX file, a byte per weight', fileBytes, false],
  ];
  const most = Math.max(...rows.map(([, size]) => (isKnown(size) ? size : 0)), 1);
  return dataTable({
    caption: 'Sizes',
    columns: columns('', '>bytes', '>of float', ''),
    rows: rows.map(([title, size, own]) => [
      own ? html`<strong>${title}</strong>` : title,
      shown(size, bytes),
      shown((100 * size) / floatBytes, (share) => percent(share, 1)),
      bar(size / most, own ? 'accent' : 'axis-bar'),
    ]),
  });
}

/** A bar as wide as a share of one; the number beside it says the same. */
export function bar(share: number, style: string): Markup {
  const width = isKnown(share) ? Math.round(1000 * Math.min(1, Math.max(0, share))) / 10 : 0;
  return html`<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="${style}" width="${width}" height="10"/></svg>`;
}
