import type { Device } from '../hardware/index.ts';
import { columns, type Table, textTable } from '../report/table.ts';

type Quantity = { value: number; unit: string } | null;

/** `sigmaquant devices`: a line for each. */
export function deviceListText(devices: readonly Device[]): string {
  const table = textTable({
    columns: columns('device', 'figures', 'baseline', 'what it is'),
    rows: devices.map((device) => [device.name, figuresOf(device), device.baseline ?? '', device.title]),
  });
  return `${table}\n`;
}

function figuresOf({ pairs, array, latency }: Device): string {
  const figures = [
    pairs.some(({ energy }) => energy) && 'energy',
    (array || latency) && 'latency',
    pairs.some(({ area }) => area) && 'area',
  ].filter(Boolean);
  return ['bytes', ...figures].join(', ');
}

/** `sigmaquant devices show`: pairs, memories, sources. */
export function deviceText(device: Device): string {
  const { name, title, baseline, packing, notes, sources } = device;
  const sections = [
    `${name}: ${title}`,
    facts(device, baseline, packing.rowBits),
    ...(device.pairs.length > 0 ? [`Costs of one MAC\n${textTable(pairTable(device))}`] : []),
    ...(device.memories.length > 0 ? [`Memories\n${textTable(memoryTable(device))}`] : []),
    ...(device.latency ? [`Time of a step\n${textTable(ruleTable(device.latency))}`] : []),
    ...(notes.length > 0 ? [`Left out\n${notes.map((note) => `  ${note}`).join('\n')}`] : []),
    `Sources\n${Object.entries(sources)
      .map(([key, text]) => `  ${key}: ${text}`)
      .join('\n')}`,
  ];
  return `${sections.join('\n\n')}\n`;
}

function facts({ array, latency }: Device, baseline: string | null, rowBits: number): string {
  return [
    `baseline   ${baseline ?? 'itself'}`,
    `weights    ${rowBits === 1 ? 'without gaps' : `rows padded to ${rowBits} bits`}`,
    ...(array
      ? [
          `array      ${array.pixels} pixels x ${array.channels} channels x ${array.depth} deep (${array.source}), ${quantity(array.clock)}`,
          `control    ${array.sharedControl === null ? 'of each element' : `shared along the ${array.sharedControl}`}`,
        ]
      : []),
    ...(latency ? [`threads    ${latency.threads}`, `timings    ${latency.timings.length}`] : []),
  ].join('\n');
}

function quantity(figure: Quantity): string {
  return figure ? `${figure.value} ${figure.unit}` : '-';
}

function sum(form: { unit: string; source: string; terms: Record<string, number | undefined> } | undefined) {
  if (!form) return '-';
  return `${termsText(form.terms)} ${form.unit} (${form.source})`;
}

/** `237.8 extendedBits + 635.9`: the constant last, without its name. */
function termsText(terms: Readonly<Record<string, number | undefined>>): string {
  const { one, ...others } = terms;
  const named = Object.entries(others).map(([name, cost]) => (cost === 1 ? name : `${cost} ${name}`));
  return [...named, ...(one === undefined ? [] : [String(one)])].join(' + ') || '0';
}

function pairTable({ pairs }: Device): Table {
  return {
    columns: columns('operators', 'weights', 'inputs', 'cycles', 'energy', 'area of an element'),
    rows: pairs.map(({ operators, weights, activations, cycles, energy, area }) => [
      operators.join(', '),
      weights.join(','),
      activations.join(','),
      sum(cycles),
      sum(energy),
      area ? `${quantity(area)} (${area.source})` : '-',
    ]),
  };
}

function memoryTable({ memories }: Device): Table {
  return {
    columns: columns('memory', 'place', '>capacity', '>bandwidth', '>energy', 'source'),
    rows: memories.map(({ name, place, capacity, bandwidth, energy }) => [
      name,
      place,
      quantity(capacity),
      quantity(bandwidth),
      quantity(energy),
      [...new Set([capacity, bandwidth, energy].flatMap((figure) => figure?.source ?? []))].join(', '),
    ]),
  };
}

function ruleTable({ rules, unit }: NonNullable<Device['latency']>): Table {
  const width = (bits: number | null) => (bits === null ? '' : String(bits));
  return {
    columns: columns('kind', '>weights', '>inputs', `time, ${unit}`),
    rows: rules.map(({ kind, weights, activations, terms }) => [
      kind,
      width(weights),
      width(activations),
      termsText(terms),
    ]),
  };
}
