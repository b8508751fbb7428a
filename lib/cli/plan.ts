import { plan } from '../pipeline/plan.ts';
import { layerTable } from '../report/layers.ts';
import { bytes, percent, significant } from '../report/numbers.ts';
import { searchOptions } from './options.ts';
import { type Action, EXIT_CODES } from './program.ts';

/** `sigmaquant plan` */
export const planAction: Action = async (model, flags, terminal) => {
  const result = await plan(searchOptions(model, flags, terminal));
  terminal.clear();
  if (flags['json']) terminal.out(`${JSON.stringify(result)}\n`);
  else
    terminal.out(
      [
        `${layerTable(result.layers)}\n`,
        `weights  ${bytes(result.weightBytes)} of ${bytes(result.floatBytes)} (${percent((100 * result.weightBytes) / result.floatBytes, 1)}), ${significant(result.averageBits)} bits on average`,
        `verdict  ${result.verdict} (by ${result.strategy}, from the weights alone; accuracy was not measured)`,
        ...result.binding.slice(0, 5).map(({ layer, reason }) => `binding  ${layer}: ${reason}`),
        '',
      ].join('\n'),
    );
  return EXIT_CODES[result.verdict];
};
