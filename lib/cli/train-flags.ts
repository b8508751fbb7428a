import { type Command, Option } from 'commander';
import { integer, number } from './flags.ts';

/** Options of `sigmaquant train` beside those of every command that runs networks. */
export function trainFlags(command: Command): Command {
  return command
    .option(
      '--data <DATA>',
      'labelled samples to train on: .npz, folder of images or CIFAR binary (required)',
    )
    .option('--validation <DATA>', 'labelled samples to score after each epoch')
    .option('--epochs <N>', 'passes over the data (default: 10)', integer('epochs'))
    .option('--batch <N>', 'samples per step (default: 128)', integer('batch'))
    .option('--rate <X>', 'highest rate (default: 0.1 for sgd, 0.001 for adam)', number('rate'))
    .addOption(new Option('--optimizer <NAME>', 'sgd (default) or adam').choices(['sgd', 'adam']))
    .option('--decay <X>', 'weight decay (default: 0.0005)', number('decay'))
    .option('--smoothing <X>', 'label smoothing (default: 0)', number('smoothing'))
    .option('--warmup <X>', 'share of all steps in which the rate rises (default: 0.1)', number('warmup'))
    .option('--average <X>', 'decay of the average of weights that training ends with', number('average'))
    .option('--clip <X>', "limit of the gradients' norm (default: none)", number('clip'))
    .option('--flip', 'mirror images at random')
    .option('--shift <N>', 'move images at random by up to so many pixels', integer('shift'))
    .option('--reset', 'start from fresh weights')
    .option('--distill <FILE>', 'ONNX file of a float network to learn from beside the labels')
    .option('--seed <N>', 'seed of every random choice', integer('seed'))
    .option('--out <FILE>', 'ONNX file to write (default: ./NAME.trained.onnx)')
    .option('--checkpoint <FILE>', 'file that the same command goes on from (default: OUT.checkpoint)')
    .option('--no-checkpoint', 'keep no such file')
    .option('--force', 'replace an earlier output');
}
