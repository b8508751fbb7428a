import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { SigmaQuantError } from '../errors.ts';

const PACKAGE = 'onnxruntime-node';
/** The first that loads opset 21, which our exporter writes. */
const OLDEST = [1, 18] as const;

/** The user's own copy of onnxruntime-node: it is never a dependency of ours. */
export interface Installation {
  version: string;
  /** Absolute path of its main module. */
  path: string;
}

/**
 * Looks from the current folder first, where users install, then from this package, as `import` would. Throws
 * BACKEND_UNAVAILABLE where it is absent or too old.
 */
export function findInstallation(
  places: readonly string[] = [join(process.cwd(), 'package.json'), import.meta.url],
): Installation {
  const path = resolved(places);
  if (path === null)
    throw new SigmaQuantError(
      'BACKEND_UNAVAILABLE',
      `Expected the optional package ${PACKAGE} for executor onnxruntime but found none: npm install ${PACKAGE}.`,
    );
  const version = versionOf(path);
  const [major, minor] = version.split('.').map(Number);
  if (!(major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])))
    throw new SigmaQuantError(
      'BACKEND_UNAVAILABLE',
      `Expected ${PACKAGE} ${OLDEST.join('.')} or later for executor onnxruntime but found ${version || 'an unknown version'} at ${dirname(path)}: npm install ${PACKAGE}@latest.`,
    );
  return { version, path };
}

function resolved(places: readonly string[]): string | null {
  for (const place of places) {
    try {
      return createRequire(place).resolve('onnxruntime-node');
    } catch {
      // Not from here.
    }
  }
  return null;
}

/** From the package.json above the main module, since its exports may hide it. */
function versionOf(path: string): string {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    try {
      const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      if (name === PACKAGE) return String(version);
    } catch {
      // No package.json in this folder.
    }
    if (folder === dirname(folder)) return '';
  }
}
