// Packs what is published: sigmaquant, and for each addon that scripts/prebuilds.mjs built a package of its own, of
// which npm installs the one that fits the system. One package with the addons of all systems would be ten times as
// large as what any of them needs.
//   node scripts/packages.mjs [OUT]    default out/packages; run `npm run build` before
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = resolve(process.argv[2] ?? join(root, 'out', 'packages'));
const stage = join(out, 'stage');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const { name, version, license, engines } = manifest;
const LEGAL = ['LICENSE', 'THIRD-PARTY-NOTICES.md'];

/** Every addon below build-prebuilds/: its file, system and processor, and its C library where there are two. */
function addons() {
  const built = join(root, 'build-prebuilds');
  if (!existsSync(built)) return [];
  return readdirSync(built, { recursive: true })
    .map((path) =>
      path.replaceAll('\\', '/').match(/(?:^|\/)prebuilds\/(\w+)-(\w+)\/sigmaquant\.(?:(\w+)\.)?node$/),
    )
    .filter((match) => match !== null)
    .map(({ input, 1: platform, 2: arch, 3: libc }) => ({ file: join(built, input), platform, arch, libc }));
}

/** A folder with a package.json and copies of files of the repository; returns where npm put its tarball. */
function pack(folder, contents, files) {
  for (const path of files) cpSync(join(root, path), join(folder, path), { recursive: true });
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(contents, null, 2)}\n`);
  const options = ['pack', '--json', '--ignore-scripts', '--pack-destination', out];
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const { status, stdout, stderr } = spawnSync(npm, options, {
    cwd: folder,
    encoding: 'utf8',
    shell: npm !== 'npm',
  });
  if (status !== 0) throw new Error(stderr);
  const [{ filename, size, unpackedSize }] = JSON.parse(stdout);
  console.log(`${join(out, filename)}: ${size} bytes, ${unpackedSize} unpacked`);
}

rmSync(out, { recursive: true, force: true });
const optional = {};
for (const { file, platform, arch, libc } of addons()) {
  const own = `${name}-${platform}-${arch}${libc === 'musl' ? '-musl' : ''}`;
  const prebuilds = join(stage, own, 'prebuilds', `${platform}-${arch}`);
  mkdirSync(prebuilds, { recursive: true });
  copyFileSync(file, join(prebuilds, basename(file)));
  const systems = { os: [platform], cpu: [arch], ...(libc ? { libc: [libc] } : {}) };
  const description = `The native kernels of ${name} for ${platform}-${arch}${libc ? ` (${libc})` : ''}`;
  pack(
    join(stage, own),
    { name: own, version, description, license, engines, ...systems, files: ['prebuilds'] },
    LEGAL,
  );
  optional[own] = version;
}
const { devDependencies: _, scripts: __, ...published } = manifest;
const files = manifest.files.filter((path) => path !== 'prebuilds');
mkdirSync(join(stage, name), { recursive: true });
pack(join(stage, name), { ...published, files, optionalDependencies: optional }, files);
rmSync(stage, { recursive: true });
