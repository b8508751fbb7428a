import type { HtmlReportInput } from './html.ts';
import { type Content, code, html, type Markup, type Section } from './html-markup.ts';
import { isKnown, shown, twoDigits } from './html-numbers.ts';
import { HEAT } from './html-theme.ts';

/** Below this share of the largest loss a loss is noise, and one colour. */
const DEPTH = 1e-6;

type Sensitivities = HtmlReportInput['sensitivities'];

/** Loss of every layer at every width, a row per layer. A table: a screen reader reads what the colours show. */
export function sensitivitySection({ sensitivities, allocation }: HtmlReportInput): Section {
  const common = { id: 'sensitivity', title: 'Sensitivity' };
  if (sensitivities.length === 0)
    return {
      ...common,
      reading: 'No layer was measured by itself, so there is nothing to show.',
      body: null,
    };
  const sources = new Set(sensitivities.map(({ source }) => source));
  const measure =
    sources.size > 1
      ? 'the divergence of the output, or of the weights where a row says so, in nats'
      : sources.has('output')
        ? "the divergence of the network's output, in nats"
        : 'the divergence of its weights, in nats, since there was no data to run on';
  const chosen = new Map(allocation.layers.map(({ name, weights }) => [name, weights]));
  return {
    ...common,
    reading: `A cell is the loss when only this layer has this width: ${measure}. Light cells hurt; the outlined one is the width that the layer got.`,
    body: heatMap(sensitivities, chosen, sources.size > 1),
  };
}

function heatMap(rows: Sensitivities, chosen: ReadonlyMap<string, number>, mixed: boolean): Markup {
  const widths = [...new Set(rows.flatMap((row) => [...row.widths]))].sort((a, b) => a - b);
  const scale = scaleOf(rows);
  return html`${legend(scale)}
<div class="scroll" role="region" aria-label="Sensitivity by layer and width" tabindex="0"><table class="heat">
<caption class="unseen">Loss of each layer at each width</caption>
<thead><tr><th scope="col">layer</th>${widths.map((bits) => html`<th scope="col" class="number">${bits} bits</th>`)}</tr></thead>
<tbody>
${rows.map(
  (row) =>
    html`<tr><th scope="row">${code(row.layer)}${mixed && row.source === 'weights' ? ' (weights)' : null}</th>${widths.map((bits) => cell(row.losses[row.widths.indexOf(bits)], scale, bits === chosen.get(row.layer)))}</tr>\n`,
)}</tbody></table></div>
`;
}

/** Logarithms between which the colours lie; null where no loss is above zero. */
type Scale = { low: number; high: number } | null;

function scaleOf(rows: Sensitivities): Scale {
  let [low, high] = [Number.POSITIVE_INFINITY, 0];
  for (const { losses } of rows)
    for (const loss of losses)
      if (isKnown(loss) && loss > 0) [low, high] = [Math.min(low, loss), Math.max(high, loss)];
  if (high === 0) return null;
  return { low: Math.log10(Math.max(low, DEPTH * high)), high: Math.log10(high) };
}

function stepOf(loss: number, scale: Scale): number {
  if (!scale || loss <= 0) return 0;
  const share = (Math.log10(loss) - scale.low) / Math.max(scale.high - scale.low, 1e-9);
  return Math.min(HEAT.length - 1, Math.max(0, Math.floor(share * HEAT.length)));
}

function cell(loss: number | undefined, scale: Scale, picked: boolean): Markup {
  const style = isKnown(loss) ? `number h${stepOf(loss, scale)}` : 'number quiet';
  const value: Content = shown(loss, twoDigits);
  return picked
    ? html`<td class="${style} pick">${value}<span class="unseen"> chosen</span></td>`
    : html`<td class="${style}">${value}</td>`;
}

function legend(scale: Scale): Content {
  if (!scale) return null;
  const bound = (power: number) => twoDigits(10 ** power);
  return html`<ul class="legend" aria-label="Colours, logarithmic"><li>${bound(scale.low)} nats and less</li><li class="scale" aria-hidden="true">${HEAT.map((_, step) => html`<span class="h${step}"></span>`)}</li><li>${bound(scale.high)} nats</li><li>(logarithmic)</li></ul>`;
}
