import { modelName } from '../pipeline/files.ts';
import { type TrainEpoch, type TrainOptions, type TrainResult, train } from '../pipeline/train.ts';
import { count, duration, percent, plural, significant, whole } from '../report/numbers.ts';
import { commonOptions, defined, preprocessingOption, required } from './options.ts';
import { type Action, EXIT_CODES, type Flags } from './program.ts';

/** `sigmaquant train` */
export const trainAction: Action = async (model, flags, terminal) => {
  const options: TrainOptions = {
    ...commonOptions(model, flags, terminal),
    data: required(flags, 'data'),
    ...trainOptions(flags),
    ...outputFlags(model, flags),
    onWarning: terminal.note,
    onEpoch: (epoch) => {
      if (!flags['json']) terminal.watch(epochLine(epoch));
    },
  };
  const { network: _, ...result } = await train(options);
  terminal.clear();
  terminal.out(flags['json'] ? `${JSON.stringify(result)}\n` : text(result));
  return EXIT_CODES.met;
};

function trainOptions(flags: Flags): Partial<TrainOptions> {
  const keys = [
    ...['validation', 'epochs', 'batch', 'rate', 'optimizer', 'decay', 'smoothing', 'warmup', 'average'],
    ...['clip', 'flip', 'shift', 'reset', 'distill', 'seed', 'force'],
  ];
  const given = Object.fromEntries(keys.map((key) => [key, flags[key]]));
  return defined({ ...given, preprocessing: preprocessingOption(flags) }) as Partial<TrainOptions>;
}

/** The network, and beside it what the same command goes on from. */
function outputFlags(model: string, flags: Flags): Pick<TrainOptions, 'out' | 'checkpoint'> {
  const out = (flags['out'] as string | undefined) ?? `./${modelName(model)}.trained.onnx`;
  const checkpoint = flags['checkpoint'] as string | boolean | undefined;
  if (checkpoint === false) return { out };
  return { out, checkpoint: typeof checkpoint === 'string' ? checkpoint : `${out}.checkpoint` };
}

/** `epoch 3 of 10: loss 1.234, 56.70 %; validation 1.100, 60.10 %; 812 images a second, about 7 min left` */
function epochLine({
  epoch,
  epochs,
  loss,
  accuracy,
  validation,
  imagesPerSecond,
  seconds,
}: TrainEpoch): string {
  const left = epoch < epochs ? `, about ${duration(seconds * (epochs - epoch))} left` : '';
  return [
    `epoch ${epoch} of ${epochs}: loss ${significant(loss, 4)}, ${percent(accuracy)}`,
    ...(validation ? [`validation ${significant(validation.loss, 4)}, ${percent(validation.accuracy)}`] : []),
    `${imagesPerSecond} images a second${left}`,
  ].join('; ');
}

function text(result: Omit<TrainResult, 'network'>): string {
  const { score, history, resumedAt, backend, isa, threads } = result;
  const last = history.at(-1);
  const lines = [
    `trained     ${count(result.parameters)} parameters on ${whole(result.samples)} samples, ${plural(result.epochs, 'epoch')} of ${result.optimizer} at a rate of ${result.rate}`,
    ...(resumedAt > 0 ? [`went on     from step ${whole(resumedAt)} of ${whole(result.steps)}`] : []),
    ...(last
      ? [`last epoch  loss ${significant(last.loss, 4)}, ${percent(last.accuracy)} of training samples`]
      : []),
    ...(score
      ? [
          `validation  loss ${significant(score.loss, 4)}, ${percent(score.accuracy)} of ${whole(score.samples)} samples`,
        ]
      : []),
    `took        ${duration(result.seconds)} on ${backend} (${isa}, ${threads} threads)`,
    `file        ${result.file}`,
    '',
  ];
  return lines.join('\n');
}
