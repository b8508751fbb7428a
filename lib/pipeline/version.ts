import { readFileSync } from 'node:fs';

let version: string | undefined;

/** Version of this package; the same relative path from `lib` and from `dist`. */
export function toolVersion(): string {
  version ??= JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
    .version as string;
  return version;
}
