import { SigmaQuantError } from '../errors.ts';
import { readAllocation } from '../pipeline/allocation-file.ts';
import { changeText } from '../report/amounts.ts';
import { type Explanation, explanation } from '../report/explain.ts';
import { signed, significant } from '../report/numbers.ts';
import { columns, textTable } from '../report/table.ts';
import { type Action, EXIT_CODES } from './program.ts';

/** Names that an error lists. */
const NAMED = 6;

/** `sigmaquant explain` */
export const explainAction: Action = async (path, flags, terminal, layer) => {
  const { allocation } = await readAllocation(path);
  const found = explanation(allocation, layer);
  if (found === null) {
    const names = allocation.layers.map(({ name }) => name);
    const near = names.filter((name) => name.toLowerCase().includes(layer.toLowerCase()));
    const list = (near.length > 0 ? near : names).slice(0, NAMED).join(', ');
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected a layer of ${allocation.model.name} but received ${JSON.stringify(layer)}; there are ${list}${names.length > NAMED ? ', ...' : ''}.`,
    );
  }
  terminal.out(flags['json'] ? `${JSON.stringify(found)}\n` : text(found));
  return EXIT_CODES.met;
};

function text({ sentences, widths }: Explanation): string {
  const resources = [...new Set(widths.flatMap(({ change }) => Object.keys(change)))];
  const table = textTable({
    columns: columns('width', '>nats', '>points', ...resources.map((name) => `>${name}`)),
    rows: widths.map(({ of, bits, chosen, divergence, points, change }) => [
      `${bits} bits${of === 'activations' ? ' input' : ''}${chosen ? ' *' : ''}`,
      divergence === null ? '' : significant(divergence),
      points === null ? '' : signed(points),
      ...resources.map((name) => (chosen ? '' : changeText(name, change[name] ?? 0))),
    ]),
  });
  return [
    ...sentences,
    '',
    table,
    '',
    '* chosen. nats: divergence of the outputs when this alone is quantized; points: expected, relative to the chosen width.',
    '',
  ].join('\n');
}
