/** Stable codes: callers switch on them, messages may be reworded. */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'MALFORMED_MODEL'
  | 'UNSUPPORTED_OPERATOR'
  | 'UNSUPPORTED_MODEL'
  | 'DATA_MISMATCH'
  | 'DATA_UNREADABLE'
  | 'TARGET_UNREACHABLE'
  | 'BACKEND_UNAVAILABLE'
  | 'OUT_OF_MEMORY'
  | 'OUTPUT_EXISTS'
  | 'QUEUE_UNAVAILABLE'
  | 'TRAINING_DIVERGED'
  | 'BUSY'
  | 'INTERNAL';

/**
 * The one error class. The message is one sentence that says what was expected and what came:
 * *Expected an Int8Array of length 27 for q but received length 26.* Errors about a model name node and tensor.
 */
export class SigmaQuantError extends Error {
  override readonly name = 'SigmaQuantError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Throws INVALID_ARGUMENT with the standard sentence: *Expected EXPECTED for NAME but received RECEIVED.* */
export function refuse(expected: string, name: string, received: unknown): never {
  throw new SigmaQuantError(
    'INVALID_ARGUMENT',
    `Expected ${expected} for ${name} but received ${describe(received)}.`,
  );
}

/** The value of a JSON text. Throws INVALID_ARGUMENT naming `what` it should have been. */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected JSON for ${what} but received text that does not parse (${(error as Error).message}).`,
      { cause: error },
    );
  }
}

function describe(value: unknown): string {
  if (ArrayBuffer.isView(value)) {
    const { length } = value as unknown as { length?: number };
    return `${value.constructor.name} of length ${length ?? value.byteLength}`;
  }
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'object' && value !== null) return value.constructor?.name ?? 'an object';
  return String(value);
}

/** Throws MALFORMED_MODEL. */
export function malformed(message: string, cause?: unknown): never {
  throw new SigmaQuantError('MALFORMED_MODEL', message, { cause });
}
