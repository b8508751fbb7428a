import type { DeviceCost, HtmlReportInput } from './html.ts';
import { chart, code, dataTable, details, html, Markup, type Section } from './html-markup.ts';
import { amount, isKnown, shown } from './html-numbers.ts';
import { percent, plural, signed } from './numbers.ts';
import { escaped, round, shortened, text } from './svg.ts';
import { columns } from './table.ts';

/** Layers ranked by name; the others are one bar. */
const RANKED = 12;
const WIDTH = 340;
const CHARACTER = 6.2;
const VALUE = 50;
const ROW = 20;
const STACK = 22;
const LONGEST = 20;

/** What the hardware pays, in all and by layer. */
export function deviceSection({ device }: HtmlReportInput): Section {
  const common = { id: 'device', title: 'Hardware' };
  if (!device)
    return { ...common, reading: 'No device was named, so nothing is known of hardware.', body: null };
  const { name, description, resources, layers, notes } = device;
  return {
    ...common,
    reading:
      'First what the whole network takes, beside the same network with all layers at 8 bits; then, for each resource, the share of every layer in the order in which they run (the striped bar) and the layers that take most.',
    body: html`<p>${code(name)}: ${description}</p>
${totals(device)}${notes.map((note) => html`<p class="note">Note: ${note}</p>\n`)}${
  layers.length === 0
    ? null
    : html`<div class="pair">${resources.map((_, index) => ranked(device, index))}</div>
${details('Every layer as a table', layerTable(device))}`
}`,
  };
}

function totals({ name, resources }: DeviceCost): Markup {
  return dataTable({
    caption: `Totals on ${name}`,
    columns: columns('resource', '>this result', '>all at 8 bits', '>change'),
    rows: resources.map(({ title, unit, total, reference }) => [
      title,
      amount(total, unit),
      amount(reference, unit),
      reference === null
        ? shown(null, String)
        : shown((100 * (total - reference)) / reference, (change) => `${signed(change, 1)} %`),
    ]),
  });
}

interface Share {
  layer: string;
  value: number;
}

/** What is no number takes nothing. */
function sharesOf({ layers }: DeviceCost, resource: number): Share[] {
  return layers.map(({ layer, shares }) => {
    const value = shares[resource];
    return { layer, value: isKnown(value) && value > 0 ? value : 0 };
  });
}

const sumOf = (shares: readonly Share[]) => shares.reduce((sum, { value }) => sum + value, 0);

function ranked(device: DeviceCost, index: number): Markup {
  const { title, unit } = device.resources[index];
  const shares = sharesOf(device, index);
  const total = sumOf(shares);
  const sorted = shares.toSorted((a, b) => b.value - a.value);
  const named = sorted.length <= RANKED + 1 ? sorted : sorted.slice(0, RANKED);
  const others = sorted.slice(named.length);
  const rows = [
    ...named,
    ...(others.length === 0
      ? []
      : [{ layer: `the other ${plural(others.length, 'layer')}`, value: sumOf(others) }]),
  ];
  const top = STACK + 16;
  const most = Math.max(...rows.map(({ value }) => value));
  const left = round(12 + CHARACTER * Math.max(...rows.map(({ layer }) => shortened(layer, LONGEST).length)));
  return html`<figure><h3>${title}</h3>${chart({
    id: `device-${index + 1}`,
    width: WIDTH,
    height: top + ROW * rows.length + 4,
    title: `${title} by layer`,
    description: rows.map(({ layer, value }) => `${layer} ${portion(value, total)}`).join(', '),
    body: new Markup(
      [
        ...stack(shares, total, unit),
        ...rows.map((row, i) =>
          rankedBar(row, { left, y: top + ROW * i, most, total, unit, named: i < named.length }),
        ),
      ].join('\n'),
    ),
  })}</figure>
`;
}

const portion = (value: number, total: number) => shown((100 * value) / total, (share) => percent(share, 1));

/** All layers in one bar, first to last. */
function stack(shares: readonly Share[], total: number, unit: string): string[] {
  let before = 0;
  const at = (value: number) => (total > 0 && isKnown(total) ? round((WIDTH * value) / total) : 0);
  return shares.map(({ layer, value }, i) => {
    const start = at(before);
    before += value;
    const tip = `${layer}: ${portion(value, total)}, ${amount(value, unit)}`;
    return `<rect class="part${i % 2 === 0 ? '' : ' even'}" x="${start}" width="${round(at(before) - start)}" height="${STACK}"><title>${escaped(tip)}</title></rect>`;
  });
}

/** Where a bar stands, and what it is a part of. Bars of several layers are grey. */
interface Place {
  left: number;
  y: number;
  most: number;
  total: number;
  unit: string;
  named: boolean;
}

function rankedBar({ layer, value }: Share, { left, y, most, total, unit, named }: Place): string {
  const room = WIDTH - left - VALUE;
  const width = most > 0 && isKnown(most) ? round((room * value) / most) : 0;
  return [
    `<g><title>${escaped(`${layer}: ${amount(value, unit)}`)}</title>`,
    text(left - 8, y + 13, shortened(layer, LONGEST), 'small', 'end'),
    `<rect class="${named ? 'accent' : 'axis-bar'}" x="${left}" y="${y + 3}" width="${width}" height="${ROW - 6}"/>`,
    text(round(left + width + 6), y + 13, portion(value, total), 'small quiet'),
    '</g>',
  ].join('');
}

function layerTable(device: DeviceCost): Markup {
  const { name, resources, layers } = device;
  const sums = resources.map((_, index) => sumOf(sharesOf(device, index)));
  return dataTable({
    caption: `Layers on ${name}`,
    columns: columns('layer', ...resources.flatMap(({ title }) => [`>${title}`, '>share'])),
    rows: layers.map(({ layer, shares }) => [
      code(layer),
      ...resources.flatMap(({ unit }, index) => [
        amount(shares[index], unit),
        shown(shares[index], (value) => portion(value, sums[index])),
      ]),
    ]),
  });
}
