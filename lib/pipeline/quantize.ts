import { quantizeOn } from './conclusion.ts';
import { refuseExisting } from './files.ts';
import { nodeHost } from './node-host.ts';
import { checkOptions, type QuantizeOptions } from './options.ts';
import { OUTPUT_NAMES, outputFiles, writeArtefacts } from './output-files.ts';
import type { QuantizeResult } from './result.ts';

/**
 * Chooses a width for every layer and makes the quantized network.
 *
 * The search sees calibration and validation samples only; `accuracy` comes from samples that were scored once, after
 * the widths were frozen. With `out` four files are written, all or none. Rejects with `signal.reason` on abort, and
 * with SigmaQuantError: OUTPUT_EXISTS, INVALID_ARGUMENT, MALFORMED_MODEL, UNSUPPORTED_MODEL, UNSUPPORTED_OPERATOR,
 * DATA_MISMATCH, DATA_UNREADABLE, BACKEND_UNAVAILABLE. An unreachable target is a verdict, not an error.
 */
export async function quantize(options: QuantizeOptions): Promise<QuantizeResult> {
  checkOptions(options);
  options.signal?.throwIfAborted();
  const { out, force = false } = options;
  if (out !== undefined) await refuseExisting(out, force, OUTPUT_NAMES);
  const result = await quantizeOn(nodeHost, options);
  if (out === undefined) return result;
  const { artefacts } = result;
  await writeArtefacts(out, artefacts, force, options.signal);
  return { ...result, files: outputFiles(out, artefacts.sqnt !== null) };
}
