import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { Session } from '../../lib/runtime/index.ts';

/** What tests of the browser's page need: a browser, the page built, and what it should find. */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const EXAMPLE = join(ROOT, 'examples/browser');
/** Where systems put it; CHROMIUM names another. */
const CHROMIUM = [
  process.env['CHROMIUM'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];

/** Milliseconds: a machine may have other work. */
const PATIENCE = 300_000;

/** Why there is no browser to test in; null where there is one. */
export async function lacking(): Promise<string | null> {
  if (!CHROMIUM.some(existsSync)) return 'no chromium is installed (CHROMIUM names one elsewhere)';
  const found = await import('playwright-core').catch(() => null);
  return found ? null : 'playwright-core is not installed';
}

/** `engine`: switches of V8. */
export async function launch(engine = ''): Promise<Browser> {
  const { chromium } = await import('playwright-core');
  const args = ['--no-sandbox', ...(engine ? [`--js-flags=${engine}`] : [])];
  return chromium.launch({ executablePath: CHROMIUM.find(existsSync)!, args });
}

export function buildSite(folder: string): void {
  execFileSync(process.execPath, [join(EXAMPLE, 'build.mjs'), folder], { cwd: ROOT });
}

/** Serves the site; with or without the headers that threads need. */
export async function serve(folder: string, isolated: boolean): Promise<{ server: Server; address: string }> {
  const { site } = await import(new URL('../../examples/browser/serve.mjs', import.meta.url).href);
  const server: Server = site(folder, { isolated });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

/** A new page; `requests` gets what it asks the network for. */
export async function open(
  browser: Browser,
  address: string,
  requests: string[] = [],
  options: BrowserContextOptions = {},
): Promise<Page> {
  const context = await browser.newContext({ acceptDownloads: true, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith('blob:')) requests.push(`${request.method()} ${url}`);
  });
  await page.goto(address);
  return page;
}

/** Drops files on an element, as a hand would. */
export async function drop(
  page: Page,
  selector: string,
  files: readonly { name: string; bytes: Uint8Array }[],
): Promise<void> {
  const texts = files.map(({ name, bytes }) => ({ name, base64: Buffer.from(bytes).toString('base64') }));
  const dataTransfer = await page.evaluateHandle(
    `((texts) => {
      const transfer = new DataTransfer();
      for (const { name, base64 } of texts)
        transfer.items.add(new File([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], name));
      return transfer;
    })(${JSON.stringify(texts)})`,
  );
  await page.dispatchEvent(selector, 'drop', { dataTransfer });
}

/** Waits for the end of a run and gives the message of a failure, null of a success. */
export async function ended(page: Page, timeout = PATIENCE): Promise<string | null> {
  await page.waitForSelector('#result:not([hidden]), #message:not([hidden])', { timeout });
  return (await page.isHidden('#message')) ? null : page.textContent('#message');
}

/** The bytes behind one of the links. */
export async function downloaded(page: Page, name: string): Promise<Buffer> {
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.click(`#downloads a[download="${name}"]`),
  ]);
  const pieces: Buffer[] = [];
  for await (const piece of await download.createReadStream()) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

/** SHA-256 of the outputs of a packed file for samples, one by one, as the page states it. */
export async function outputDigest(
  sqnt: Uint8Array,
  samples: AsyncIterable<{ x: Float32Array }>,
  most: number,
): Promise<{ digest: string; backend: string }> {
  const session = await Session.load(sqnt);
  const hash = createHash('sha256');
  let seen = 0;
  for await (const { x } of samples) {
    const outputs = session.runSync({ [session.inputs[0].name]: x });
    for (const { name } of session.outputs) hash.update(outputs[name].data as Float32Array);
    if (++seen === most) break;
  }
  const { backend } = session;
  session.dispose();
  return { digest: hash.digest('hex'), backend };
}
