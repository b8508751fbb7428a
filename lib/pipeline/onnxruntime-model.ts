import { Onnxruntime, onnxruntimeNetwork, valueTypes } from '../onnxruntime/index.ts';
import type { Host } from './host.ts';
import { type Executable, imported, readSource } from './model.ts';
import type { CommonOptions } from './options.ts';

/** Opens a model to be run by the user's onnxruntime-node. Throws as openModel, and BACKEND_UNAVAILABLE. */
export async function openOnOnnxruntime(
  { model, inputShapes }: CommonOptions,
  host: Pick<Host, 'readModel'>,
): Promise<Executable> {
  const source = await readSource(model, host);
  const untyped = imported(source, inputShapes);
  const runtime = await Onnxruntime.start();
  try {
    const opened = imported(source, inputShapes, valueTypes(runtime, source.bytes, untyped.graph));
    return {
      model: opened,
      ...onnxruntimeNetwork(runtime, opened.graph),
      cacheBytes: 0, // to fetch an activation from there costs more than to compute it again
      executor: { name: 'onnxruntime', version: runtime.version },
      dispose: () => runtime.dispose(),
    };
  } catch (error) {
    runtime.dispose();
    throw error;
  }
}
