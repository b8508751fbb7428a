import { type Command, Option } from 'commander';
import { RECOVERIES } from '../pipeline/options.ts';
import { integer, names, number } from './flags.ts';

/** How accuracy is got back, and what is learned for it. */
export function learning(command: Command): Command {
  return command
    .addOption(new Option('--recovery <NAME>', 'how accuracy is recovered').choices([...RECOVERIES]))
    .option('--training <DATA>', 'what reconstruct and finetune learn from (default: --calibration)')
    .option('--training-samples <N>', 'samples of it at most', integer('training-samples'))
    .option('--epochs <X>', 'finetune: epochs at the end (default: 2)', number('epochs'))
    .option(
      '--epochs-per-step <X>',
      'finetune: epochs for every plan that is evaluated (default: 0)',
      number('epochs-per-step'),
    )
    .option(
      '--learning-rate <X>',
      'finetune: highest rate, in steps of weights (default: 0.005)',
      number('learning-rate'),
    )
    .option(
      '--label-share <X>',
      'finetune: share of the labels in the loss, 0 to 1 (default: 0)',
      number('label-share'),
    )
    .option(
      '--augment <NAMES>',
      'finetune: flip, shift, both or none (default: both for images in colour)',
      augmentations,
    );
}

/** `flip,shift` or `none` */
function augmentations(text: string): string[] {
  return text === 'none' ? [] : names(text);
}
