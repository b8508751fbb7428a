import { type InspectResult, inspect } from '../pipeline/inspect.ts';
import { bytes, count, plural, significant, whole } from '../report/numbers.ts';
import { columns, textTable } from '../report/table.ts';
import { commonOptions } from './options.ts';
import { type Action, EXIT_CODES } from './program.ts';

/** `sigmaquant inspect` */
export const inspectAction: Action = async (model, flags, terminal) => {
  const result = await inspect(commonOptions(model, flags, terminal));
  terminal.out(flags['json'] ? `${JSON.stringify(result)}\n` : text(result));
  return EXIT_CODES.met;
};

function text(result: InspectResult): string {
  const ports = (list: InspectResult['inputs']) =>
    list.map(({ name, dtype, shape }) => `${name} ${dtype} [${shape.join(', ')}]`).join('; ');
  const table = textTable({
    columns: columns('layer', 'op', 'weights', '>groups', 'output', '>parameters', '>MACs', '>sigma'),
    rows: result.layers.map((layer) => [
      layer.name,
      layer.op,
      layer.weightShape.join('x'),
      String(layer.groups),
      layer.outputShape ? `[${layer.outputShape.join(', ')}]` : '?',
      whole(layer.parameters),
      count(layer.macs),
      significant(layer.sigma),
    ]),
  });
  return [
    `${result.model}: ${bytes(result.fileBytes)}, opset ${result.opset}, ${plural(result.layers.length, 'layer')}, ${count(result.parameters)} parameters, ${count(result.macs)} MACs`,
    `inputs     ${ports(result.inputs)}`,
    `outputs    ${ports(result.outputs)}`,
    `operators  ${result.operators.map(({ op, count: times }) => `${op} ${times}`).join(', ')}`,
    ...(result.unsupported.length > 0
      ? [`cannot run ${result.unsupported.map(({ name, op }) => `${op} (${name})`).join(', ')}`]
      : []),
    '',
    table,
    '',
  ].join('\n');
}
