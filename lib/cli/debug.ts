import { debug } from '../pipeline/debug.ts';
import { refuseExistingFile, writeNewFile } from '../pipeline/files.ts';
import { debugSvg } from '../report/debug-svg.ts';
import { debugText } from '../report/debug-text.ts';
import { commonOptions, defined, preprocessingOption, required } from './options.ts';
import { type Action, EXIT_CODES } from './program.ts';

/** `sigmaquant debug` */
export const debugAction: Action = async (float, flags, terminal, quantized) => {
  const { model: _, ...common } = commonOptions(float, flags, terminal);
  const svg = flags['svg'] as string | undefined;
  const force = flags['force'] === true;
  const data = required(flags, 'data');
  if (svg !== undefined) await refuseExistingFile(svg, 'svg', force);
  const result = await debug({
    ...common,
    float,
    quantized,
    data,
    ...defined({
      samples: flags['samples'] as number | undefined,
      preprocessing: preprocessingOption(flags),
    }),
  });
  terminal.clear();
  if (svg !== undefined) await writeNewFile(svg, 'svg', debugSvg(result), force);
  terminal.out(flags['json'] ? `${JSON.stringify(result)}\n` : debugText(result));
  return EXIT_CODES.met;
};
