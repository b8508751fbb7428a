import { compile, type Executor } from '../engine/index.ts';
import type { SigmaQuantError } from '../errors.ts';
import { checked } from '../kernels/checked.ts';
import { readSqnt } from '../sqnt/index.ts';
import type { Host } from './host.ts';
import { type Answer, buffersOf, type Request } from './remote.ts';
import { readOptions, unpackedModel } from './unpack.ts';

/** Answers the requests of a RemoteSession one after another. Returns what takes its messages. */
export function serve(
  host: Pick<Host, 'createKernels' | 'crc32'>,
  answer: (message: Answer, transfer: ArrayBuffer[]) => void,
): (request: unknown) => void {
  let loaded: Promise<Executor>;
  let last: Promise<void> = Promise.resolve();
  const perform = async (request: Request) => {
    if (request.kind === 'load') {
      const { bytes, options } = request;
      loaded = host.createKernels(options).then((unchecked) => {
        const kernels = checked(unchecked);
        const { graph, quantization } = unpackedModel(readSqnt(bytes, readOptions(host, kernels)));
        return compile(graph, kernels, { quantization });
      });
      await loaded;
      return new Map();
    }
    return (await loaded).run(request.feeds, request.fetches);
  };
  return (message) => {
    last = last.then(async () => {
      try {
        const tensors = await perform(message as Request);
        answer({ kind: 'done', tensors }, buffersOf(tensors));
      } catch (error) {
        const { code, message: text } = error as SigmaQuantError;
        answer({ kind: 'failed', code: code ?? 'INTERNAL', message: text ?? String(error) }, []);
      }
    });
  };
}
