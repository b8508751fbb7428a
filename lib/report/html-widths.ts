import type { AllocationFile } from '../export/allocation.ts';
import type { HtmlReportInput } from './html.ts';
import { chart, html, Markup, type Section } from './html-markup.ts';
import { shown } from './html-numbers.ts';
import { bytes, count, plural, significant } from './numbers.ts';
import { escaped, round, shortened, text } from './svg.ts';

type Layer = AllocationFile['layers'][number];

/** Layers in one line of the chart; deeper networks go on below, as a text does. */
const PER_LINE = 30;
const WIDEST = 8;
/** Pixels of one bit, of a bar, and from one bar to the next at most. */
const BIT = 15;
const BAR = 0.68;
const PITCH = 44;
const LINE_WIDTH = 1032;
const TOP = 24;
const RIGHT = 24;
const AXIS = 34;
const LONGEST = 22;
const CHARACTER = 6.2;
const SLANT = 45;

/** Widths from input to output, a bar per layer. */
export function widthSection({ allocation, explanations }: HtmlReportInput): Section {
  const { layers } = allocation;
  const why = new Map(explanations.map(({ layer, text: reason }) => [layer, reason]));
  const { labels, prefix } = labelsOf(layers);
  const lines = Math.max(1, Math.ceil(layers.length / PER_LINE));
  const perLine = Math.ceil(layers.length / lines);
  const parts = Array.from({ length: lines }, (_, line) => {
    const first = line * perLine;
    return drawn(
      layers.slice(first, first + perLine),
      labels.slice(first, first + perLine),
      { first, perLine, lines },
      why,
    );
  });
  return {
    id: 'widths',
    title: 'Widths along the network',
    reading: `Layers stand in the order in which they run, first to last; a bar is the width of a layer's weights, the line that of its input${prefix === '' ? '' : `; names stand without their common beginning ${prefix}`}. Rest on a bar for its facts.`,
    body: html`<ul class="legend" aria-hidden="true"><li><svg viewBox="0 0 18 14"><rect class="bits-5" x="4" width="10" height="14"/></svg> weights</li><li><svg viewBox="0 0 18 14"><path class="other-line" d="M0 7H18"/></svg> input</li></ul>
${parts}<p class="quiet">${widthSentence(layers)}</p>`,
  };
}

/** `8 layers of 2 bits, 4 layers of 3 bits` */
function widthSentence(layers: readonly Layer[]): string {
  const widths = [...new Set(layers.map(({ weights }) => weights))].sort((a, b) => a - b);
  const parts = widths.map(
    (bits) => `${plural(layers.filter(({ weights }) => weights === bits).length, 'layer')} of ${bits} bits`,
  );
  return parts.length === 0 ? 'There are no layers with a width.' : `${parts.join(', ')}.`;
}

/** Names short enough to stand below a bar. */
function labelsOf(layers: readonly Layer[]): { labels: string[]; prefix: string } {
  const names = layers.map(({ name }) => name);
  const prefix = names.length < 3 || names.every(({ length }) => length <= LONGEST) ? '' : commonStart(names);
  return { prefix, labels: names.map((name) => shortened(name.slice(prefix.length), LONGEST)) };
}

/** Up to the last mark of punctuation that all names share; nothing where a name would vanish. */
function commonStart(names: readonly string[]): string {
  let length = 0;
  while (names.every((name) => length + 1 < name.length && name[length] === names[0][length])) length++;
  return /^.*[/._:-]/.exec(names[0].slice(0, length))?.[0] ?? '';
}

function drawn(
  layers: readonly Layer[],
  labels: readonly string[],
  { first, perLine, lines }: { first: number; perLine: number; lines: number },
  why: ReadonlyMap<string, string>,
): Markup {
  const slant = CHARACTER * Math.max(1, ...labels.map(({ length }) => length)) * Math.SQRT1_2;
  const pitch = Math.min(PITCH, (LINE_WIDTH - AXIS - RIGHT - 40) / Math.max(1, perLine));
  const left = round(Math.max(AXIS, slant - pitch / 2 + 8));
  const width = Math.ceil(left + pitch * perLine + RIGHT);
  const bottom = TOP + BIT * WIDEST;
  const x = (index: number) => round(left + pitch * (index + 0.5));
  const y = (bits: number) => bottom - BIT * bits;
  const last = first + layers.length;
  const which = lines === 1 ? '' : `, layers ${first + 1} to ${last}`;
  return html`<figure class="scroll" tabindex="0" aria-label="Widths along the network${which}">${chart({
    id: `widths-${first + 1}`,
    width,
    height: Math.ceil(bottom + slant + 22),
    title: `Widths along the network${which}`,
    description: layers.map(({ name, weights }) => `${name} ${weights}`).join(', '),
    body: [
      ...[2, 4, 6, 8].map((bits) =>
        markup(
          `<path class="grid" d="M${left} ${y(bits)}H${width - RIGHT}"/>`,
          text(left - 8, y(bits) + 4, String(bits), 'small quiet', 'end'),
        ),
      ),
      markup(text(left, 12, 'bits', 'small quiet', 'end')),
      ...layers.map((layer, i) =>
        markup(
          `<g><title>${escaped(factsOf(layer, why.get(layer.name)))}</title>`,
          `<rect class="hit" x="${round(x(i) - pitch / 2)}" y="${TOP - 16}" width="${round(pitch)}" height="${bottom - TOP + 16}"/>`,
          `<rect class="bits-${layer.weights}" x="${round(x(i) - (BAR * pitch) / 2)}" y="${y(layer.weights)}" width="${round(BAR * pitch)}" height="${BIT * layer.weights}"/>`,
          text(x(i), y(layer.weights) - 5, String(layer.weights), 'small strong', 'middle'),
          slanted(x(i) + 4, bottom + 14, labels[i]),
          '</g>\n',
        ),
      ),
      markup(`<path class="axis" d="M${left} ${bottom}H${width - RIGHT}"/>`, inputLine(layers, x, y, pitch)),
    ],
  })}</figure>\n`;
}

const markup = (...parts: string[]) => new Markup(parts.join(''));

function slanted(x: number, y: number, label: string): string {
  return `<text class="small" text-anchor="end" transform="translate(${x} ${y}) rotate(-${SLANT})">${escaped(label)}</text>`;
}

/** Steps of the widths of inputs, just above their height so that bars of 8 bits do not hide them. */
function inputLine(
  layers: readonly Layer[],
  x: (index: number) => number,
  y: (bits: number) => number,
  pitch: number,
): string {
  if (layers.length === 0) return '';
  const steps = layers.map(({ activations }, i) => `V${y(activations)}H${round(x(i) + pitch / 2)}`);
  return `<path class="other-line" d="M${round(x(0) - pitch / 2)} ${y(layers[0].activations)}${steps.join('')}"/>`;
}

/** What resting on a bar shows. */
function factsOf(layer: Layer, why: string | undefined): string {
  const facts = [
    `${layer.name} (${layer.op})`,
    `${layer.weights} bits of weights, ${layer.activations} bits of input`,
    `${count(layer.weightCount)} weights, ${bytes(layer.weightBytes)}, ${count(layer.macs)} MACs`,
    `sigma ${shown(layer.sigma, significant)}`,
    ...(why === undefined ? [] : [why]),
  ];
  return facts.join('\n');
}
