import { SigmaQuantError } from '../errors.ts';

/** The bytes behind a URL. Throws INVALID_ARGUMENT with the reason. */
export async function fetched(source: string | URL): Promise<Uint8Array> {
  const refused = (reason: string, cause?: unknown) =>
    new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected a readable file for the model but received ${JSON.stringify(String(source))}: ${reason}.`,
      { cause },
    );
  let response: Response;
  try {
    response = await fetch(source);
  } catch (cause) {
    throw refused((cause as Error).message, cause);
  }
  if (!response.ok) throw refused(`HTTP status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
