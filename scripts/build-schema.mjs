// Generates lib/onnx/generated/onnx_pb.ts from lib/onnx/onnx.proto with npm packages alone, when it is out of date.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'lib/onnx');
const target = join(folder, 'generated/onnx_pb.ts');
const sources = [join(folder, 'onnx.proto'), fileURLToPath(import.meta.url)];

const require = createRequire(import.meta.url);
/** The file of an installed package, null where the package is not installed. */
function installed(name, file) {
  try {
    return join(dirname(require.resolve(`${name}/package.json`)), file);
  } catch {
    return null;
  }
}

function build() {
  // The package's own launcher may lack its binary where install scripts do not run; the platform's package has it.
  const names = process.platform === 'linux' ? { arm64: 'aarch64', arm: 'armv7' } : {};
  const arch = names[process.arch] ?? process.arch;
  const platform = `@bufbuild/buf-${process.platform}-${arch}`;
  const buf = installed(platform, process.platform === 'win32' ? 'bin/buf.exe' : 'bin/buf');
  const plugin = installed('@bufbuild/protoc-gen-es', 'bin/protoc-gen-es');
  if (buf === null || !existsSync(buf))
    return `Expected the npm package ${platform} for the ONNX schema but it is not installed; run npm ci on a platform that buf supports.`;
  if (plugin === null)
    return 'Expected the npm package @bufbuild/protoc-gen-es for the ONNX schema but it is not installed; run npm ci.';
  const template = {
    version: 'v2',
    plugins: [
      {
        local: [process.execPath, plugin],
        out: dirname(target),
        opt: ['target=ts', 'import_extension=none'],
      },
    ],
  };
  mkdirSync(dirname(target), { recursive: true });
  try {
    execFileSync(buf, ['generate', folder, '--template', JSON.stringify(template)], {
      stdio: 'inherit',
      cwd: root,
    });
  } catch (error) {
    rmSync(target, { force: true });
    return `Expected buf to generate ${target} but it failed: ${error.message}.`;
  }
  console.log('schema: lib/onnx/generated/onnx_pb.ts');
  return null;
}

const age = existsSync(target) ? statSync(target).mtimeMs : 0;
if (sources.some((source) => statSync(source).mtimeMs > age)) {
  const failure = build();
  if (failure !== null) {
    console.error(failure);
    process.exitCode = 1;
  }
}
