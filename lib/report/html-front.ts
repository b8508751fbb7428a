import type { Front, FrontPoint, HtmlReportInput } from './html.ts';
import { frontChart, type Limits, order, shape } from './html-front-chart.ts';
import { type Content, dataTable, details, html, Markup, type Section } from './html-markup.ts';
import { amount, isKnown, resourceOf, shown } from './html-numbers.ts';
import { plural, signed } from './numbers.ts';
import { columns } from './table.ts';

/** Drop against cost: what was evaluated, the front, and this result on it. */
export function frontSection({ front, allocation }: HtmlReportInput): Section {
  const common = { id: 'front', title: 'Pareto front' };
  const known = front?.points.filter(({ cost, drop }) => isKnown(cost) && isKnown(drop)) ?? [];
  if (!front || known.length === 0)
    return {
      ...common,
      reading: 'Nothing was evaluated on validation data, so there is no front to show.',
      body: null,
    };
  const ceiling = allocation.targets.find(({ resource }) => resource === front.resource)?.limit;
  const limits: Limits = {
    cost: isKnown(ceiling) ? ceiling : null,
    drop:
      isKnown(allocation.floor?.maxDrop) && allocation.validation?.drop !== null
        ? allocation.floor.maxDrop
        : null,
  };
  return {
    ...common,
    reading: `Each mark is a network that was run on validation data: up is more accurate, left is less ${resourceOf(front.resource).title}; no network that was run lies above and left of the line. Drops are spread near zero, where they matter.`,
    body: html`${legend(known, limits)}
<figure class="scroll" tabindex="0" aria-label="Pareto front">${frontChart(front, known, limits)}</figure>
${floatNote(front)}${details(`The ${plural(front.points.length, 'point')} as a table`, pointTable(front))}`,
  };
}

function legend(known: readonly FrontPoint[], limits: Limits): Markup {
  const entries: [Pick<FrontPoint, 'kind' | 'chosen'>, string][] = [
    [{ kind: 'front', chosen: true }, 'this result'],
    [{ kind: 'front', chosen: false }, 'on the front'],
    [{ kind: 'uniform', chosen: false }, 'one width for all layers'],
    [{ kind: 'tried', chosen: false }, 'also tried'],
  ];
  const present = entries.filter(([entry]) =>
    known.some((point) => order(point) === order(entry as FrontPoint)),
  );
  const items: Content[] = present.map(
    ([entry, name]) =>
      html`<li><svg viewBox="0 0 24 22">${new Markup(shape(entry, 12, 11))}</svg> ${name}</li>`,
  );
  if (limits.cost !== null || limits.drop !== null)
    items.push(html`<li><svg viewBox="0 0 18 14"><path class="limit" d="M0 7H18"/></svg> asked for</li>`);
  return html`<ul class="legend" aria-hidden="true">${items}</ul>`;
}

function floatNote({ float, unit, resource }: Front): Content {
  if (!isKnown(float)) return null;
  return html`<p class="quiet">The float network takes ${amount(float, unit)} of ${resourceOf(resource).title}, at a drop of 0.</p>\n`;
}

function pointTable({ points, unit, resource }: Front): Markup {
  const kinds = { front: 'front', uniform: 'uniform width', tried: 'tried' };
  return dataTable({
    caption: 'Networks that were evaluated',
    columns: columns('network', 'kind', `>${resourceOf(resource).title}`, '>drop'),
    rows: [...points]
      .sort((a, b) => a.cost - b.cost || a.drop - b.drop)
      .map(({ label, kind, chosen, cost, drop }) => [
        chosen ? html`<strong>${label}</strong>` : label,
        kinds[kind],
        amount(cost, unit),
        shown(drop, (value) => signed(value)),
      ]),
  });
}
