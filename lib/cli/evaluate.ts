import { type EvaluateOptions, evaluate } from '../pipeline/evaluate.ts';
import type { ExecutorName } from '../pipeline/options.ts';
import { accuracyCells } from '../report/layers.ts';
import { duration, percent } from '../report/numbers.ts';
import { columns, textTable } from '../report/table.ts';
import { commonOptions, defined, preprocessingOption, ranOn, required } from './options.ts';
import { type Action, EXIT_CODES } from './program.ts';

/** `sigmaquant evaluate` */
export const evaluateAction: Action = async (model, flags, terminal) => {
  const options: EvaluateOptions = {
    ...commonOptions(model, flags, terminal),
    evaluate: required(flags, 'evaluate'),
    ...defined({
      allocation: flags['allocation'] as string | undefined,
      metric: flags['metric'] as string | undefined,
      samples: flags['samples'] as number | undefined,
      executor: flags['executor'] as ExecutorName | undefined,
      preprocessing: preprocessingOption(flags),
    }),
  };
  const result = await evaluate(options);
  terminal.clear();
  if (flags['json']) {
    terminal.out(`${JSON.stringify(result)}\n`);
    return EXIT_CODES.met;
  }
  const { quantized } = result;
  const score = quantized
    ? textTable({
        columns: columns('metric', '>float', '>quantized', '>drop', '>95 % of the drop', '>count'),
        rows: [[result.metric, ...accuracyCells(quantized)]],
      })
    : `${result.metric} ${percent(result.float)} on ${result.samples} samples`;
  terminal.out(`${score}\n${duration(result.seconds)} on ${ranOn(result)}\n`);
  return EXIT_CODES.met;
};
