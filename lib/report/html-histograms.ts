import type { HtmlReportInput, LayerHistogram } from './html.ts';
import { chart, code, dataTable, details, html, type Markup, type Section } from './html-markup.ts';
import { isKnown, shown } from './html-numbers.ts';
import { percent, significant, whole } from './numbers.ts';
import { shortened } from './svg.ts';
import { columns } from './table.ts';

/** Bins drawn: more are added up, so that a page of many layers stays light. */
const MOST_BINS = 64;
const WIDTH = 192;
const HEIGHT = 64;
const LONGEST = 18;

/** Weights before and after, one small chart per layer. */
export function histogramSection({ histograms }: HtmlReportInput): Section {
  const common = { id: 'histograms', title: 'Weights before and after' };
  if (histograms.length === 0)
    return { ...common, reading: 'No histograms of weights were made.', body: null };
  return {
    ...common,
    reading:
      'The line is the histogram of the float weights, the area that of the integers times their scales, on the same bins; heights are square roots of counts, so that rare weights show. Fewer bits leave fewer values, one set per channel.',
    body: html`<ul class="legend" aria-hidden="true"><li><svg viewBox="0 0 18 14"><path class="before" d="M0 7H18"/></svg> float</li><li><svg viewBox="0 0 18 14"><rect class="after" width="18" height="14"/></svg> quantized</li></ul>
<div class="multiples">
${histograms.map(multiple)}</div>
${details('Ranges and overlaps as a table', table(histograms))}`,
  };
}

function multiple(histogram: LayerHistogram, index: number): Markup {
  const { layer, bits, low, high } = histogram;
  const [float, quantized] = [merged(histogram.float), merged(histogram.quantized)];
  const most = Math.max(1, ...float, ...quantized);
  const bounds = [low, high].map((bound) => shown(bound, (value) => significant(value, 2)));
  return html`<figure>${chart({
    id: `weights-${index + 1}`,
    width: WIDTH,
    height: HEIGHT,
    title: `Weights of ${layer} at ${bits} bits`,
    description: `From ${bounds[0]} to ${bounds[1]}; overlap ${shown(overlap(histogram), (value) => percent(value, 0))}`,
    body: html`<path class="after" d="${outline(quantized, most)}Z"/><path class="before" d="${outline(float, most)}"/><path class="axis" d="M0 ${HEIGHT}H${WIDTH}"/>`,
  })}<figcaption><span class="quiet">${bounds[0]}</span><span class="quiet">${bounds[1]}</span></figcaption><figcaption><code title="${layer}">${shortened(layer, LONGEST)}</code><span>${bits} bits</span></figcaption></figure>
`;
}

/** Neighbours added up until there are few enough; what is no count counts nothing. */
function merged(counts: readonly number[]): number[] {
  const size = Math.ceil(counts.length / MOST_BINS);
  return Array.from({ length: Math.ceil(counts.length / Math.max(1, size)) }, (_, bin) =>
    counts
      .slice(bin * size, (bin + 1) * size)
      .reduce((sum, value) => sum + (isKnown(value) && value > 0 ? value : 0), 0),
  );
}

/** Steps over the bins in whole pixels, from the axis back to the axis. */
function outline(counts: readonly number[], most: number): string {
  let [x, y] = [0, 0];
  const steps = counts.map((value, bin) => {
    const height = Math.round((HEIGHT - 3) * Math.sqrt(value / most));
    const end = Math.round(((bin + 1) * WIDTH) / counts.length);
    const step = `${height === y ? '' : `v${y - height}`}h${end - x}`;
    [x, y] = [end, height];
    return step;
  });
  return `M0 ${HEIGHT}${steps.join('')}V${HEIGHT}`;
}

const sum = (counts: readonly number[]) => counts.reduce((total, value) => total + value, 0);

/** Share of weights that both histograms have in the same bins, percent. */
function overlap({ float, quantized }: LayerHistogram): number {
  return (100 * sum(float.map((value, bin) => Math.min(value, quantized[bin] ?? 0)))) / sum(float);
}

function table(histograms: readonly LayerHistogram[]): Markup {
  const number = (value: number) => shown(value, (known) => significant(known));
  return dataTable({
    caption: 'Histograms of weights',
    columns: columns('layer', '>bits', '>weights', '>least', '>most', '>overlap'),
    rows: histograms.map((histogram) => [
      code(histogram.layer),
      String(histogram.bits),
      shown(sum(histogram.float), whole),
      number(histogram.low),
      number(histogram.high),
      shown(overlap(histogram), (value) => percent(value, 1)),
    ]),
  });
}
