import { exportModel, exportPath } from '../pipeline/export.ts';
import { modelName } from '../pipeline/files.ts';
import { exportText } from '../report/export-text.ts';
import { commonOptions, defined, required } from './options.ts';
import { type Action, EXIT_CODES } from './program.ts';

/** `sigmaquant export` */
export const exportAction: Action = async (model, flags, terminal) => {
  const { inputShapes } = commonOptions(model, flags, terminal);
  const format = required(flags, 'format', 'a name');
  const result = await exportModel({
    model,
    allocation: required(flags, 'allocation'),
    format,
    out: (flags['out'] as string | undefined) ?? exportPath(modelName(model), format),
    force: flags['force'] === true,
    signal: terminal.signal,
    ...defined({ inputShapes, opset: flags['opset'] as number | undefined }),
  });
  const { contents: _, ...document } = result;
  terminal.out(flags['json'] ? `${JSON.stringify(document)}\n` : exportText(result));
  return EXIT_CODES.met;
};
