import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
/** `nobody`, on every Unix. */
const NOBODY = 65534;
const SYSTEM = `${process.platform}-${process.arch}`;
const CONTENTS = ['dist', 'README.md', 'CHANGELOG.md', 'LICENSE', 'THIRD-PARTY-NOTICES.md', 'package.json'];

export interface Ran {
  code: number | null;
  out: string;
  error: string;
}

export interface PackedFile {
  path: string;
  size: number;
}

export interface Packed {
  /** Path of the tarball. */
  file: string;
  /** Bytes of the tarball. */
  size: number;
  files: PackedFile[];
}

/** A folder of its own, which everybody may read. */
export function freshFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-package-'));
  chmodSync(folder, 0o755);
  return folder;
}

/** The addon that `npm run build:prebuild` or, before that, the build left for this system; undefined without one. */
export function builtAddon(): string | undefined {
  const prebuilt = join(root, 'prebuilds', SYSTEM);
  const [name] = existsSync(prebuilt) ? readdirSync(prebuilt) : [];
  const candidates = [
    ...(name ? [join(prebuilt, name)] : []),
    join(root, 'build', 'Release', 'sigmaquant.node'),
  ];
  return candidates.find((path) => existsSync(path));
}

/** What `npm pack` makes of the built package and the addon of this system alone. Builds nothing. */
export function packed(folder: string): Packed {
  const stage = join(folder, 'stage');
  for (const path of CONTENTS) cpSync(join(root, path), join(stage, path), { recursive: true });
  const addon = builtAddon();
  if (addon) cpSync(addon, join(stage, 'prebuilds', SYSTEM, 'sigmaquant.node'));
  const options = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder];
  const { status, stdout, stderr } = spawnSync('npm', options, { cwd: stage, encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  const [{ filename, size, files }] = JSON.parse(stdout);
  rmSync(stage, { recursive: true });
  return { file: join(folder, filename), size, files };
}

/** A search path on which there is node and npm and nothing else: no compiler, no cmake, no python, no git. */
export function barePath(folder: string): string {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const npm = spawnSync('which', ['npm'], { encoding: 'utf8' }).stdout.trim();
  symlinkSync(process.execPath, join(bin, 'node'));
  symlinkSync(npm, join(bin, 'npm'));
  return bin;
}

/** Runs a program with nothing in the environment but a search path and a home; by a user without rights if asked. */
export function runBare(
  program: string,
  argv: readonly string[],
  { cwd, path, nobody = false }: { cwd: string; path: string; nobody?: boolean },
): Ran {
  const env = { PATH: path, HOME: cwd, npm_config_cache: join(tmpdir(), 'sigmaquant-npm-cache') };
  const user = nobody && process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  const { status, stdout, stderr, error } = spawnSync(program, argv, { cwd, env, ...user, encoding: 'utf8' });
  return { code: status, out: stdout, error: error ? String(error) : stderr };
}

/** An empty folder into which npm has installed a tarball and what it depends on; null where npm has no registry. */
export function installed(folder: string, tarball: string, path: string): string | null {
  const home = join(folder, 'project');
  mkdirSync(home);
  writeFileSync(join(home, 'package.json'), '{ "private": true }\n');
  const options = ['install', tarball, '--no-audit', '--no-fund', '--prefer-offline'];
  const { code, error } = runBare(join(path, 'npm'), options, { cwd: home, path });
  if (code === 0) return home;
  if (/ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ECONNRESET|ENETUNREACH/.test(error)) return null;
  throw new Error(error);
}

/** Every folder and file below gets or loses the right to be written. */
export function setWritable(path: string, writable: boolean): void {
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true }))
    if (!entry.isSymbolicLink())
      chmodSync(
        join(entry.parentPath, entry.name),
        entry.isDirectory() ? (writable ? 0o755 : 0o555) : writable ? 0o755 : 0o555,
      );
  chmodSync(path, writable ? 0o755 : 0o555);
  if (!writable) chmodSync(dirname(path), 0o555);
}
