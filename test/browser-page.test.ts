import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { openDataset, quantize } from '../lib/index.ts';
import { imageBytes, SAMPLE, tinyModel, writeImages } from './support/network.ts';
import {
  buildSite,
  downloaded,
  drop,
  ended,
  lacking,
  launch,
  open,
  outputDigest,
  serve,
} from './support/page.ts';

const EXAMPLE = fileURLToPath(new URL('../examples/cifar10/', import.meta.url));
const CHECKED = 64;
/** Milliseconds that cancelling may take. */
const CANCEL_LIMIT = 200;
/** Switches of V8: a processor without the instructions that its SIMD needs, and little memory for WebAssembly. */
const WITHOUT_SIMD = '--no-enable-sse4-1';
const pages = (count: number) => `--wasm-max-mem-pages=${count}`;

const demo = (name: string) => ({ name, bytes: readFileSync(join(EXAMPLE, name)) });
const NETWORK = demo('resnet8-cifar10.onnx');
const CALIBRATION = demo('cifar10-demo-calibration.npz');
const TEST = demo('cifar10-demo-test.npz');

describe('the page in a browser', function () {
  this.timeout(400_000);
  let folder: string;
  let site: string;
  let browser: Browser;
  const servers: Server[] = [];
  let isolated: string;
  let plain: string;
  let tiny: { name: string; bytes: Uint8Array };
  let samples: { name: string; bytes: Uint8Array };

  before(async function () {
    const why = await lacking();
    if (why) {
      console.log(`    skipped: ${why}`);
      this.skip();
    }
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-page-'));
    site = join(folder, 'site');
    buildSite(site);
    for (const threads of [true, false]) {
      const { server, address } = await serve(site, threads);
      servers.push(server);
      if (threads) isolated = address;
      else plain = address;
    }
    tiny = { name: 'tiny.onnx', bytes: tinyModel() };
    writeImages(join(folder, 'samples.npz'), imageBytes(24, 5), null);
    samples = { name: 'samples.npz', bytes: readFileSync(join(folder, 'samples.npz')) };
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    for (const server of servers) server.close();
    if (folder) rmSync(folder, { recursive: true });
  });

  const fill = async (page: Page, values: Record<string, string>) => {
    await page.evaluate("document.querySelector('details').open = true");
    for (const [name, value] of Object.entries(values)) await page.fill(`#${name}`, value);
  };
  /** Resolves when all workers that the page has now are gone. */
  const closed = (page: Page): Promise<unknown> => {
    const workers = page.workers();
    assert.ok(workers.length > 0);
    return Promise.all(
      workers.map((worker) => new Promise<void>((resolve) => worker.on('close', () => resolve()))),
    );
  };
  const give = async (page: Page, model = tiny, data = samples) => {
    await drop(page, 'body', [model]);
    await drop(page, '[data-role=calibration]', [data]);
    await fill(page, { targets: 'bits=5', evaluations: '4' });
  };

  it('from dropped files to downloads: the same bytes as in Node, and the same integers on its native kernels', async () => {
    const requests: string[] = [];
    const page = await open(browser, isolated, requests);
    assert.match((await page.textContent('#support'))!, /threads?\.$/);
    await drop(page, 'body', [CALIBRATION, NETWORK]);
    await drop(page, '[data-role=evaluate]', [TEST]);
    await page.locator('#model-about', { hasText: /10 layers/ }).waitFor();
    await fill(page, {
      targets: 'size=12.5%',
      maxDrop: '2',
      evaluations: '2',
      samples: '16',
      scale: '1/255',
      mean: '0.4914, 0.4822, 0.4465',
      std: '0.247, 0.2435, 0.2616',
    });
    await page.click('#start');
    assert.equal(await ended(page), null);
    const own: Record<string, Buffer> = {};
    for (const name of ['model.onnx', 'model.sqnt', 'allocation.json', 'report.html'])
      own[name] = await downloaded(page, name);

    const preprocessing = { scale: 1 / 255, mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] };
    const out = join(folder, 'node');
    await quantize({
      model: join(EXAMPLE, NETWORK.name),
      calibration: join(EXAMPLE, CALIBRATION.name),
      evaluate: join(EXAMPLE, TEST.name),
      preprocessing,
      targets: ['size=12.5%'],
      maxDrop: 2,
      evaluations: 2,
      samples: 16,
      backend: 'wasm',
      out,
    });
    for (const name of ['model.onnx', 'model.sqnt', 'allocation.json'])
      assert.ok(own[name].equals(readFileSync(join(out, name))), name);
    assert.match(own['report.html'].toString(), /^<!DOCTYPE html>/);

    const data = await openDataset(join(EXAMPLE, TEST.name), { preprocessing });
    const { digest, backend } = await outputDigest(own['model.sqnt'], data.batches({ size: 1 }), CHECKED);
    const said = (await page.textContent('#check'))!;
    assert.ok(said.includes(`the first ${CHECKED} samples`) && said.includes(digest), `${backend}: ${said}`);
    assert.equal(await page.locator('#layers tr').count(), 10);
    assert.ok(requests.every((request) => request.startsWith(`GET ${isolated}`)));
    await page.context().close();
  });

  it('sends nothing elsewhere: not even its worker could', async () => {
    let asked = 0;
    const other = createServer((_, response) => {
      asked++;
      response.writeHead(200, { 'Access-Control-Allow-Origin': '*' }).end('x');
    });
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    other.unref(); // a failure must not keep the process
    const address = `http://127.0.0.1:${(other.address() as AddressInfo).port}/`;
    const request = `fetch(${JSON.stringify(address)}, { method: 'POST', body: 'x' }).then(() => 'sent', () => 'refused')`;
    const page = await open(browser, plain);
    await give(page, NETWORK, CALIBRATION);
    assert.equal(await page.evaluate(request), 'refused');
    let answer: unknown;
    for (let tries = 0; answer === undefined && tries < 5; tries++) {
      const started = page.waitForEvent('worker');
      await page.click('#start'); // as soon as the page is idle
      // A job that ends takes its worker with it, and what was asked of it.
      answer = await (await started).evaluate(request).catch(() => undefined);
    }
    assert.equal(answer, 'refused');
    assert.equal(asked, 0);
    await page.context().close();
    other.close();
  });

  it('cancelled in mid-run: at once, and the page goes on', async () => {
    const page = await open(browser, isolated);
    await give(page, NETWORK, CALIBRATION);
    await page.click('#start');
    await page.locator('#stage', { hasText: /float network|Calibrating|single layers/ }).waitFor();
    const ends = closed(page);
    const took = (await page.evaluate(`(() => {
      const start = performance.now();
      document.getElementById('cancel').click();
      return document.getElementById('fields').disabled ? null : performance.now() - start;
    })()`)) as number;
    assert.ok(took < CANCEL_LIMIT, `${took} ms`);
    await ends; // its workers too, threads among them
    assert.equal(await page.evaluate('document.activeElement.id'), 'start');
    await give(page);
    await page.click('#start');
    assert.equal(await ended(page), null);
    await page.context().close();
  });

  it('without shared memory: one thread, which it says', async () => {
    const page = await open(browser, plain);
    assert.match((await page.textContent('#support'))!, /^One thread: .*not cross-origin isolated/);
    await give(page);
    await page.click('#start');
    assert.equal(await ended(page), null);
    assert.match((await page.textContent('#figures'))!, /wasm, one thread/);
    await page.context().close();
  });

  it('images that lose nothing: the same as in Node', async function () {
    const sharp = await import('sharp').then(
      (module) => module.default,
      () => this.skip(),
    );
    const [channels, height, width] = SAMPLE;
    const area = height * width;
    const bytes = imageBytes(12, 9);
    const images = await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const planes = bytes.subarray(index * channels * area, (index + 1) * channels * area);
        const pixels = Uint8Array.from(
          { length: channels * area },
          (_, i) => planes[(i % 3) * area + Math.floor(i / 3)],
        );
        const png = await sharp(pixels, { raw: { width, height, channels: 3 } })
          .png()
          .toBuffer();
        return { name: `image-${String(index).padStart(2, '0')}.png`, bytes: png };
      }),
    );
    const page = await open(browser, plain);
    await drop(page, 'body', [tiny]);
    await drop(page, 'body', images);
    await fill(page, { targets: 'bits=5', evaluations: '4' });
    await page.click('#start');
    assert.equal(await ended(page), null);
    writeImages(join(folder, 'images.npz'), bytes, null);
    const preprocessing = { scale: 1 / 255 };
    const result = await quantize({
      model: { name: tiny.name, bytes: tiny.bytes },
      calibration: join(folder, 'images.npz'),
      preprocessing,
      targets: ['bits=5'],
      evaluations: 4,
      samples: 256,
      backend: 'wasm',
    });
    const sqnt = await downloaded(page, 'model.sqnt');
    assert.ok(sqnt.equals(result.artefacts.sqnt!));
    await page.context().close();
  });

  describe('bad input', () => {
    let page: Page;
    beforeEach(async () => {
      page = await open(browser, plain);
    });
    afterEach(async () => {
      await page.context().close();
    });

    const alive = async () => {
      await give(page);
      await page.locator('#model-about', { hasText: /5 layers/ }).waitFor();
      await page.click('#start');
      assert.equal(await ended(page), null);
    };

    it('a network of 300 MB is refused before it is read', async () => {
      const path = join(folder, 'large.onnx');
      const file = openSync(path, 'w');
      ftruncateSync(file, 300e6);
      closeSync(file);
      await page.setInputFiles('#model', path);
      assert.equal(
        await ended(page, 5000),
        'Expected at most 256 MB for model in a browser but received 300 MB in "large.onnx": quantize it with the command line, sigmaquant quantize large.onnx. Nothing is lost but this run: the page goes on working.',
      );
      await alive();
    });

    it('garbage in place of a network or of samples is refused with a sentence', async () => {
      const garbage = Uint8Array.from({ length: 5000 }, (_, i) => (i * 97) & 255);
      await drop(page, 'body', [{ name: 'garbage.onnx', bytes: garbage }]);
      assert.match((await ended(page))!, /^Expected .+ but received .+\.$/);
      await give(page, tiny, { name: 'garbage.npz', bytes: garbage });
      await page.click('#start');
      assert.match(
        (await ended(page))!,
        /^Expected an \.npz archive in garbage\.npz but found no zip directory/,
      );
      await give(page, tiny, { name: 'holiday.png', bytes: garbage });
      await page.click('#start');
      assert.match((await ended(page))!, /unreadable images in holiday\.png .+ \(holiday\.png: /);
      await alive();
    });

    it('samples of another shape are refused with both shapes', async () => {
      await give(page, tiny, CALIBRATION);
      await page.click('#start');
      assert.match((await ended(page))!, /^Expected samples of shape \[3, 8, 8\] .+ received \[3, 32, 32\]/);
    });

    it('nothing starts without calibration data, or with an option that cannot be read', async () => {
      await drop(page, 'body', [tiny]);
      await page.click('#start');
      assert.equal(await page.isVisible('#running'), false);
      assert.equal(
        await page.evaluate("document.querySelector(':invalid:not(form, fieldset)').id"),
        'calibration',
      );
      await give(page);
      await fill(page, { mean: '0.5, half' });
      await page.click('#start');
      assert.equal(
        await ended(page),
        'Expected numbers with commas between them for mean but received 0.5, half.',
      );
      await fill(page, { mean: '', targets: 'size=much' });
      await page.click('#start');
      await page.locator('#message', { hasText: /much/ }).waitFor();
    });

    it('a page that is closed in mid-run takes its work with it', async () => {
      await give(page, NETWORK, CALIBRATION);
      await page.click('#start');
      await page.locator('#stage', { hasText: /float network|Calibrating|single layers/ }).waitFor();
      const ends = closed(page);
      await page.close();
      await ends;
    });
  });

  const inBrowser = async (engine: string, address: () => string, use: (page: Page) => Promise<void>) => {
    const own = await launch(engine);
    try {
      await use(await open(own, address()));
    } finally {
      await own.close();
    }
  };

  it('without SIMD: one sentence, before anything is loaded', async function () {
    if (process.arch !== 'x64') this.skip(); // the switch is about processors of x86
    const own = await launch(WITHOUT_SIMD);
    try {
      const requests: string[] = [];
      const page = await open(own, isolated, requests);
      assert.match((await page.textContent('#message'))!, /^This browser has no SIMD in WebAssembly.*\.$/);
      assert.ok(await page.isDisabled('#start'));
      assert.ok(!requests.some((request) => /wasm|worker/.test(request)), requests.join());
    } finally {
      await own.close();
    }
  });

  it('with too little memory to begin, or to go on: says so and what to do', async () => {
    for (const [engine, address] of [
      [pages(400), () => plain],
      [pages(400), () => isolated],
      [pages(600), () => plain],
    ] as const)
      await inBrowser(engine, address, async (page) => {
        await give(page, NETWORK, CALIBRATION);
        await page.click('#start');
        assert.match(
          (await ended(page)) ?? engine,
          /^Expected memory for resnet8-cifar10\.onnx but the browser has no more: close other pages, .*command line\. Nothing is lost/,
        );
        assert.ok(await page.isEnabled('#start'));
      });
  });
});
