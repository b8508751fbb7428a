import assert from 'node:assert/strict';
import { SigmaQuantError } from '../../lib/errors.ts';

/** The error of ours that a call throws: a sentence that says what was expected. */
export function refusal(run: () => unknown): SigmaQuantError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof SigmaQuantError, String((error as Error).stack));
    assert.match(error.message, /^Expected .*\.$/s);
    return error;
  }
  return assert.fail('nothing was refused');
}
