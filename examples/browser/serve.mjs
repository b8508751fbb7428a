// Serves the page on this machine: node examples/browser/serve.mjs [FOLDER] [PORT] [--plain]
// With the two headers that make a page cross-origin isolated, which threads need; --plain leaves them out.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, resolve, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.wasm': 'application/wasm',
};
const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

/** A server of the files of a folder. */
export function site(folder, { isolated = true } = {}) {
  return createServer(async (request, response) => {
    const file = await fileAt(pathOf(folder, request.url));
    if (!file || !['GET', 'HEAD'].includes(request.method)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, {
      'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
      'Cache-Control': 'no-cache',
      'X-Content-Type-Options': 'nosniff',
      ...(isolated ? ISOLATION : {}),
    });
    if (request.method === 'HEAD') response.end();
    else createReadStream(file).pipe(response);
  });
}

/** The path that an address names; null where it lies outside the folder, or is none. */
function pathOf(folder, address) {
  try {
    const path = join(folder, decodeURIComponent(new URL(address, 'http://localhost').pathname));
    return path.startsWith(folder.endsWith(sep) ? folder : folder + sep) ? path : null;
  } catch {
    return null;
  }
}

/** The file itself, or a folder's index.html; null where there is none. */
async function fileAt(path) {
  if (path === null) return null;
  const entry = await stat(path).catch(() => null);
  if (entry?.isFile()) return path;
  return entry?.isDirectory() ? fileAt(join(path, 'index.html')) : null;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const words = process.argv.slice(2);
  const [folder = fileURLToPath(new URL('../../out/browser', import.meta.url)), port = '8080'] = words.filter(
    (word) => word !== '--plain',
  );
  const server = site(resolve(folder), { isolated: !words.includes('--plain') });
  server.listen(Number(port), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/`));
}
