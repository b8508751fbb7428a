import { serveQueue } from '../pipeline/sweep-queue.ts';
import { defined, required } from './options.ts';
import { type Action, EXIT_CODES } from './program.ts';

/** `sigmaquant worker`: runs until it is interrupted. */
export const workerAction: Action = async (_, flags, terminal) => {
  await serveQueue({
    queue: required(flags, 'queue', 'an address such as redis://localhost:6379'),
    signal: terminal.signal,
    onProgress: terminal.progress,
    onWarning: terminal.note,
    onRow: ({ model, device, budget, strategy, outcome, error }) =>
      terminal.note(`${model}, ${device}, ${budget}, ${strategy}: ${outcome?.verdict ?? error!.message}`),
    ...defined({ threads: flags['threads'] as number | undefined }),
  });
  terminal.clear();
  return EXIT_CODES.met;
};
