import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** `e_machine` of ELF files, by the names that Node has for processors. */
const ELF_MACHINES: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };
const ELF_HEADER_BYTES = 64;

/**
 * Why Linux must not be handed a file as a library; undefined where nothing speaks against it. The loader answers for
 * another processor's file that there is none, and ends the process by a bus error where a file was cut short.
 */
export function elfFlaw(path: string, arch: string = process.arch): string | undefined {
  const file = openSync(path, 'r');
  try {
    const header = new DataView(new ArrayBuffer(ELF_HEADER_BYTES));
    if (readSync(file, header) < ELF_HEADER_BYTES || header.getUint32(0) !== 0x7f454c46)
      return 'it is not a library of Linux';
    const machine = header.getUint16(18, true);
    if (machine !== (ELF_MACHINES[arch] ?? machine)) return `it was built for another processor than ${arch}`;
    // The section headers stand at the end.
    const length =
      Number(header.getBigUint64(40, true)) + header.getUint16(58, true) * header.getUint16(60, true);
    const { size } = fstatSync(file);
    return size < length ? `it ends at byte ${size} of ${length}` : undefined;
  } finally {
    closeSync(file);
  }
}

/** What the package that carries the addon of one system is called: sigmaquant-linux-x64-musl. */
function platformPackage(): string {
  const libc = process.platform === 'linux' && existsSync('/etc/alpine-release') ? '-musl' : '';
  return `sigmaquant-${process.platform}-${process.arch}${libc}`;
}

/**
 * The addon's file: in build/ or prebuilds/ of this package or, as published packages have it, in the package of this
 * system that npm installed beside it. Throws where there is none, or none that can be loaded.
 */
export function addonFile(): string {
  const { resolve } = createRequire(import.meta.url)('node-gyp-build') as {
    resolve(directory: string): string;
  };
  let path: string;
  try {
    path = resolve(fileURLToPath(new URL('../..', import.meta.url)));
  } catch (none) {
    let beside: string;
    try {
      beside = dirname(createRequire(import.meta.url).resolve(`${platformPackage()}/package.json`));
    } catch {
      throw none;
    }
    path = resolve(beside);
  }
  const flaw = process.platform === 'linux' ? elfFlaw(path) : undefined;
  if (flaw !== undefined) throw new Error(`${path}: ${flaw}`);
  return path;
}
