import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { zipSync } from 'fflate';
import sharp from 'sharp';
import { crc32, inflatedBytes } from '../lib/data/bytes.ts';
import { imageDecoder } from '../lib/data/image-decoder.ts';
import {
  type Batch,
  type Dataset,
  fromIterable,
  half,
  openDataset,
  parsePreprocessing,
} from '../lib/data/index.ts';
import { frame } from '../lib/data/preprocessing.ts';
import { SigmaQuantError } from '../lib/errors.ts';

const testbed = fileURLToPath(new URL('../../shared/testbed/', import.meta.url));
let folder: string;

/** An .npy file as numpy writes it. */
function npy(descr: string, shape: number[], data: ArrayBufferView, order = 'False'): Uint8Array {
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': (${tuple}), }`;
  const header = `${text.padEnd(117)}\n`;
  const out = new Uint8Array(10 + header.length + data.byteLength);
  out.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8]);
  out.set(new TextEncoder().encode(header), 10);
  out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + header.length);
  return out;
}

async function write(name: string, bytes: Uint8Array | string): Promise<string> {
  const path = join(folder, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, bytes);
  return path;
}

const bytesOf = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 37) & 255);
const labelsOf = (...labels: number[]) => BigInt64Array.from(labels, BigInt);

async function collect(data: Dataset, size: number, select?: (index: number) => boolean): Promise<Batch[]> {
  const batches: Batch[] = [];
  for await (const batch of data.batches({ size, select })) batches.push(batch);
  return batches;
}

/** One sentence of the house's shape, with this code. */
async function refuses(code: string, says: RegExp, action: () => unknown): Promise<void> {
  await assert.rejects(
    async () => action(),
    (error: unknown) => {
      assert.ok(error instanceof SigmaQuantError, String(error));
      assert.equal(error.code, code);
      assert.match(error.message, /^Expected .*\.$/);
      assert.match(error.message, says);
      return true;
    },
  );
}

const drain = async (path: string, options = {}) => collect(await openDataset(path, options), 4);

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sigmaquant-data-'));
});
after(() => rm(folder, { recursive: true }));

describe('arrays', () => {
  it('streams deflated and stored archives alike, in batches, with labels and indices', async () => {
    const x = bytesOf(5 * 2 * 3 * 3);
    const files = { 'x.npy': npy('|u1', [5, 2, 3, 3], x), 'y.npy': npy('<i8', [5], labelsOf(3, 1, 4, 1, 5)) };
    const preprocessing = { scale: 1 / 255, mean: [0.25, 0.5], std: [0.5, 2] };
    const fingerprints = new Set<string>();
    for (const level of [0, 9] as const) {
      const path = await write(`level${level}.npz`, zipSync(files, { level }));
      const data = await openDataset(path, { preprocessing, shape: [2, null, 3], labels: true });
      assert.deepEqual(
        [data.size, data.shape, data.labelled, data.name],
        [5, [2, 3, 3], true, `level${level}.npz`],
      );
      for (let pass = 0; pass < 2; pass++) {
        const batches = await collect(data, 2);
        assert.deepEqual(
          batches.map(({ count }) => count),
          [2, 2, 1],
        );
        assert.deepEqual(
          batches.flatMap(({ labels }) => [...labels!]),
          [3, 1, 4, 1, 5],
        );
        assert.deepEqual(
          batches.flatMap(({ indices }) => [...indices]),
          [0, 1, 2, 3, 4],
        );
        const expected = Float32Array.from(x, (value, i) =>
          i % 18 < 9 ? (value * (1 / 255) - 0.25) / 0.5 : (value * (1 / 255) - 0.5) / 2,
        );
        assert.deepEqual(Float32Array.from(batches.flatMap((batch) => [...batch.x])), expected);
      }
      fingerprints.add(await data.fingerprint());
    }
    assert.equal(fingerprints.size, 1);
    assert.match([...fingerprints][0], /^[0-9a-f]{64}$/);
  });

  it('reads every element type, and .npy alone', async () => {
    const arrays = {
      '|u1': Uint8Array.of(0, 200),
      '|i1': Int8Array.of(-128, 127),
      '<u2': Uint16Array.of(0, 65535),
      '<i2': Int16Array.of(-300, 300),
      '<i4': Int32Array.of(-70000, 7),
      '<i8': BigInt64Array.of(-9n, 9n),
      '<f4': Float32Array.of(-0.5, 1.25),
      '<f8': Float64Array.of(-0.5, 1e-3),
    };
    for (const [descr, array] of Object.entries(arrays)) {
      const path = await write(`${descr.slice(1)}.npy`, npy(descr, [2, 1], array));
      const [batch] = await drain(path);
      assert.deepEqual(
        [...batch.x],
        [...array].map((value) => Math.fround(Number(value))),
        descr,
      );
      assert.equal(batch.labels, null);
    }
  });

  it('decodes only what is selected, in order', async () => {
    const path = await write('selected.npy', npy('|u1', [100, 4], bytesOf(400)));
    const batches = await collect(await openDataset(path), 8, (index) => index % 30 === 7);
    assert.deepEqual([...batches[0].indices], [7, 37, 67, 97]);
    assert.equal(batches[0].x[4], bytesOf(400)[37 * 4]);
  });

  it('crops and resizes stored images', async () => {
    const path = await write('frames.npy', npy('|u1', [1, 1, 4, 6], bytesOf(24)));
    const data = await openDataset(path, { preprocessing: { crop: [2, 2] } });
    const [{ x }] = await collect(data, 1);
    const expected = [1 * 6 + 2, 1 * 6 + 3, 2 * 6 + 2, 2 * 6 + 3].map((i) => bytesOf(24)[i]);
    assert.deepEqual([...x], expected);
    assert.deepEqual(
      (await openDataset(path, { preprocessing: { resize: [8, 5], crop: [3, 5] } })).shape,
      [1, 5, 3],
    );
    // Halving with the triangle filter: weights 1, 3, 3, 1 of 8 inside, cut off and renormalized at the edge.
    const half = frame(Float32Array.of(0, 8, 16, 24), [1, 1, 4], { resize: [2, 1] });
    assert.deepEqual(
      [...half],
      [(0 * 3 + 8 * 3 + 16 * 1) / 7, (8 * 1 + 16 * 3 + 24 * 3) / 7].map(Math.fround),
    );
  });

  it('inflates in a stream what is too large to keep, to the same bytes', async () => {
    const data = bytesOf(3_000_003);
    const packed = zipSync({ a: data }, { level: 1 });
    const start = 30 + 1;
    const view = new DataView(packed.buffer);
    const length = view.getUint32(18, true);
    const source = {
      name: 'a',
      size: packed.length,
      read: async (offset: number, count: number) => packed.slice(offset, offset + count),
    };
    const crc = crc32(0, data);
    const read = async (claimed: number, expectedCrc: number, resident: number) => {
      const bytes = inflatedBytes(source, 'a', start, length, claimed, expectedCrc, resident);
      const seen: number[] = [];
      for await (const { index, bytes: block } of bytes.blocks(128, 65_537, (index) => index % 7 === 3)) {
        const from = 128 + index * 65_537;
        assert.deepEqual(Buffer.from(block), Buffer.from(data.subarray(from, from + 65_537)));
        seen.push(index);
      }
      assert.deepEqual(seen, [3, 10, 17, 24, 31, 38, 45]);
    };
    for (const resident of [0, 2 ** 30]) {
      await read(data.length, crc, resident);
      await refuses('DATA_UNREADABLE', /checksum/, () => read(data.length, crc ^ 1, resident));
      await refuses('DATA_UNREADABLE', /bytes from a but/, () => read(data.length + 7, crc, resident));
    }
    await refuses('DATA_UNREADABLE', /inflates to more/, () => read(data.length - 7, crc, 0));
  });

  it('stops at an abort', async () => {
    const path = await write('abort.npy', npy('|u1', [100, 4], bytesOf(400)));
    const controller = new AbortController();
    const reason = new Error('enough');
    await assert.rejects(async () => {
      for await (const _ of (await openDataset(path)).batches({ size: 1, signal: controller.signal })) {
        controller.abort(reason);
      }
    }, reason);
  });

  it('refuses what is damaged with one sentence', async () => {
    const x = npy('|u1', [4, 3], bytesOf(12));
    const good = zipSync({ 'x.npy': x }, { level: 9 });
    const damaged = good.slice();
    damaged[60] ^= 0x55;
    const cases: [string, Uint8Array | string, string, RegExp][] = [
      ['empty.npz', '', 'DATA_UNREADABLE', /the file is empty/],
      ['garbage.npz', 'x'.repeat(500), 'DATA_UNREADABLE', /no zip directory/],
      ['short.npz', good.slice(0, 60), 'DATA_UNREADABLE', /garbage|truncated|no zip directory/],
      ['damaged.npz', damaged, 'DATA_UNREADABLE', /damaged\.npz, member x\.npy/],
      ['head.npz', good.slice(20), 'DATA_UNREADABLE', /truncated|directory/],
      ['no-x.npz', zipSync({ 'z.npy': x }), 'DATA_UNREADABLE', /members are: z\.npy/],
      ['text.npy', 'hello, this is text', 'DATA_UNREADABLE', /NUMPY/],
      [
        'cut.npy',
        x.slice(0, -1),
        'DATA_UNREADABLE',
        /Expected 12 bytes for shape \[4, 3\] of u1 .* received 11/,
      ],
      ['fortran.npy', npy('|u1', [4, 3], bytesOf(12), 'True'), 'DATA_UNREADABLE', /fortran_order/],
      ['big-endian.npy', npy('>f4', [1, 1], Float32Array.of(1)), 'DATA_UNREADABLE', /little-endian.*'>f4'/],
      ['object.npy', npy('|O', [1, 1], bytesOf(8)), 'DATA_UNREADABLE', /'\|O'/],
      ['huge.npy', npy('<f8', [2 ** 40, 2 ** 20], bytesOf(8)), 'DATA_UNREADABLE', /but received 8/],
      ['flat.npy', npy('|u1', [4], bytesOf(4)), 'DATA_MISMATCH', /\[samples, channels, \.\.\.\]/],
      ['none.npy', npy('|u1', [0, 3], bytesOf(0)), 'DATA_MISMATCH', /at least one sample/],
      [
        'nan.npy',
        npy('<f4', [2, 2], Float32Array.of(1, 2, 3, NaN)),
        'DATA_MISMATCH',
        /sample 1 of nan\.npy .* NaN/,
      ],
      ['inf.npy', npy('<f8', [1, 2], Float64Array.of(1, Infinity)), 'DATA_MISMATCH', /Infinity/],
      ['data.txt', 'hello', 'DATA_UNREADABLE', /\.npz, \.npy, \.bin or a folder/],
    ];
    for (const [name, bytes, code, says] of cases) {
      const path = await write(name, bytes);
      await refuses(code, says, () => drain(path));
    }
    await refuses('DATA_UNREADABLE', /ENOENT/, () => drain(join(folder, 'absent.npz')));
  });

  it('refuses labels that are not classes', async () => {
    const x = npy('|u1', [2, 3], bytesOf(6));
    const cases: [string, Uint8Array, RegExp][] = [
      ['negative', npy('<i8', [2], labelsOf(1, -1)), /sample 1 .* received -1/],
      ['fractional', npy('<f4', [2], Float32Array.of(0.5, 1)), /sample 0 .* received 0\.5/],
      ['count', npy('<i8', [3], labelsOf(1, 1, 1)), /each of 2 samples .* shape \[3\]/],
      ['one-hot', npy('<i8', [2, 3], labelsOf(1, 0, 0, 0, 1, 0)), /shape \[2, 3\]/],
    ];
    for (const [name, y, says] of cases) {
      const path = await write(`${name}.npz`, zipSync({ 'x.npy': x, 'y.npy': y }));
      await refuses('DATA_MISMATCH', says, () => drain(path));
    }
    const path = await write('unlabelled.npz', zipSync({ 'x.npy': x }));
    await refuses('DATA_MISMATCH', /Expected labels in unlabelled\.npz/, () => drain(path, { labels: true }));
    await refuses('DATA_MISMATCH', /\[3, \?\] .* \[3\]/, () => drain(path, { shape: [3, null] }));
    await refuses('DATA_MISMATCH', /3 channels/, () => drain(path, { preprocessing: { mean: [1, 2] } }));
  });
});

describe('image folders', () => {
  const png = (width: number, height: number, rgb: number[]) =>
    sharp({ create: { width, height, channels: 3, background: { r: rgb[0], g: rgb[1], b: rgb[2] } } })
      .png()
      .toBuffer();

  it('reads labels.csv in its order, colours as planes', async () => {
    await write('listed/a.png', await png(6, 4, [10, 20, 30]));
    await write('listed/deep/b.png', await png(6, 4, [40, 50, 60]));
    await write('listed/unlisted.png', await png(6, 4, [1, 1, 1]));
    for (const header of ['file,label\n', '']) {
      await write('listed/labels.csv', `${header}deep/b.png,7\r\n"a.png", 2\n\n`);
      const data = await openDataset(join(folder, 'listed'), { preprocessing: { crop: [2, 4] } });
      assert.deepEqual([data.size, data.shape, data.labelled], [2, [3, 4, 2], true]);
      const [batch] = await collect(data, 5);
      assert.deepEqual([...batch.labels!], [7, 2]);
      assert.deepEqual([...batch.x.filter((_, i) => i % 8 === 0)], [40, 50, 60, 10, 20, 30]);
    }
  });

  it('numbers a folder per class by sorted name, and reports the mapping', async () => {
    await write('classes/dog/1.png', await png(2, 2, [3, 3, 3]));
    await write('classes/cat/1.png', await png(2, 2, [1, 1, 1]));
    await write('classes/cat/2.png', await png(2, 2, [2, 2, 2]));
    const data = await openDataset(join(folder, 'classes'), { channels: 1 });
    assert.deepEqual(data.classNames, ['cat', 'dog']);
    assert.deepEqual(data.shape, [1, 2, 2]);
    const [batch] = await collect(data, 3);
    assert.deepEqual([...batch.labels!], [0, 0, 1]);
    assert.deepEqual([...batch.x.filter((_, i) => i % 4 === 0)], [1, 2, 3]);
    const print = await data.fingerprint();
    await write('classes/cat/2.png', await png(2, 2, [9, 2, 2]));
    assert.notEqual(await (await openDataset(join(folder, 'classes'))).fingerprint(), print);
  });

  it('turns grey, alpha and 16-bit images into three byte channels', async () => {
    const grey = sharp({ create: { width: 2, height: 1, channels: 3, background: '#404040' } }).toColourspace(
      'b-w',
    );
    const alpha = sharp({
      create: { width: 2, height: 1, channels: 4, background: { r: 64, g: 64, b: 64, alpha: 0.5 } },
    });
    const deep = sharp({ create: { width: 2, height: 1, channels: 3, background: '#404040' } }).toColourspace(
      'rgb16',
    );
    await write('kinds/grey.png', await grey.png().toBuffer());
    await write('kinds/alpha.png', await alpha.png().toBuffer());
    await write('kinds/deep.png', await deep.png().toBuffer());
    const [batch] = await drain(join(folder, 'kinds'));
    assert.equal(batch.labels, null);
    assert.deepEqual([...batch.x], new Array(18).fill(64));
  });

  it('leaves out, names and counts unreadable images, up to one in a hundred', async () => {
    const good = await png(2, 2, [5, 5, 5]);
    for (let i = 0; i < 100; i++) await write(`hundred/${String(i).padStart(3, '0')}.png`, good);
    const path = join(folder, 'hundred');
    await write('hundred/000.png', good.subarray(0, 40));
    const data = await openDataset(path);
    for (let pass = 0; pass < 2; pass++) {
      const indices = (await collect(data, 16)).flatMap((batch) => [...batch.indices]);
      assert.deepEqual(
        indices,
        Array.from({ length: 99 }, (_, i) => i + 1),
      );
      assert.deepEqual(data.unreadable, ['000.png']);
    }
    await write('hundred/051.png', 'not an image');
    await refuses(
      'DATA_UNREADABLE',
      /1 % unreadable images in hundred but received 2 of 100 \(000\.png: .*051\.png: /,
      () => drain(path),
    );
  });

  it('refuses other folders with one sentence', async () => {
    await mkdir(join(folder, 'empty'));
    await refuses('DATA_UNREADABLE', /in empty but found no image/, () => drain(join(folder, 'empty')));
    await write('odd/a.png', await png(2, 2, [0, 0, 0]));
    await write('odd/b.png', await png(3, 2, [0, 0, 0]));
    await refuses('DATA_MISMATCH', /b\.png has 3x2: give resize or crop/, () => drain(join(folder, 'odd')));
    await refuses('DATA_MISMATCH', /at least 3x2 in a\.png of odd/, () =>
      drain(join(folder, 'odd'), { preprocessing: { crop: [3, 2] } }),
    );
    await refuses('DATA_MISMATCH', /1 or 3 channels .* 4/, () => drain(join(folder, 'odd'), { channels: 4 }));
    const lists: [string, string, RegExp][] = [
      ['file,label\nmissing.png,1\n', 'DATA_UNREADABLE', /missing\.png named on line 2/],
      ['../odd/a.png,1\n', 'DATA_UNREADABLE', /not there/],
      ['a.png,-1\n', 'DATA_MISMATCH', /line 1 .* received -1/],
      ['a.png,1\nb.png,1.5\n', 'DATA_MISMATCH', /line 2 .* received 1\.5/],
      ['a.png,cat\n', 'DATA_MISMATCH', /received NaN/],
      ['a.png\n', 'DATA_MISMATCH', /`file,label` on line 1/],
      ['file,label\n', 'DATA_UNREADABLE', /received none/],
    ];
    for (const [text, code, says] of lists) {
      await write('odd/labels.csv', text);
      await refuses(code, says, () => drain(join(folder, 'odd')));
    }
  });

  it('says what to install where sharp is absent', async () => {
    const absent = () =>
      Promise.reject(Object.assign(new Error('Cannot find'), { code: 'ERR_MODULE_NOT_FOUND' }));
    await refuses('DATA_UNREADABLE', /optional package sharp .*npm install sharp/, () =>
      imageDecoder(3, absent),
    );
  });
});

describe('CIFAR binaries', () => {
  const record = (labels: number[], value: number) =>
    Uint8Array.from([...labels, ...new Array(3072).fill(value)]);

  it('reads training batches of a folder in order, without its test set', async () => {
    await write('cifar/data_batch_1.bin', Buffer.concat([record([3], 1), record([9], 2)]));
    await write('cifar/data_batch_2.bin', record([0], 3));
    await write('cifar/test_batch.bin', record([1], 4));
    const data = await openDataset(join(folder, 'cifar'));
    assert.deepEqual([data.size, data.shape], [3, [3, 32, 32]]);
    const [batch] = await collect(data, 2, (index) => index > 0);
    assert.deepEqual(
      [[...batch.labels!], [...batch.indices], batch.x[0], batch.x[3072]],
      [[9, 0], [1, 2], 2, 3],
    );
  });

  it('takes the fine label of CIFAR-100, and refuses what is neither', async () => {
    const [batch] = await drain(await write('train.bin', record([19, 99], 1)));
    assert.deepEqual([...batch.labels!], [99]);
    const wrong = await write('wrong.bin', record([10], 1));
    await refuses('DATA_UNREADABLE', /below 10 in record 0 .* received 10/, () => drain(wrong));
    const cut = await write('cut.bin', record([1], 1).slice(1));
    await refuses('DATA_UNREADABLE', /cut\.bin of 3072 bytes/, () => drain(cut));
  });
});

describe('iterables', () => {
  const samples = (count: number) =>
    async function* () {
      for (let i = 0; i < count; i++) yield { x: Float32Array.of(i, i + 1), label: i % 3 };
    };

  it('serves any source again and again', async () => {
    const data = await fromIterable('stream', [2], samples(5), { preprocessing: { scale: 2, mean: [0, 1] } });
    assert.deepEqual([data.size, data.labelled, data.name], [null, true, 'stream']);
    const [first, second] = await collect(data, 3, (index) => index !== 1);
    assert.deepEqual([...first.x, ...second.x], [0, 1, 4, 5, 6, 7, 8, 9]);
    assert.deepEqual([...first.labels!, ...second.labels!], [0, 2, 0, 1]);
    assert.equal(
      await data.fingerprint(),
      await (await fromIterable('other', [2], samples(5))).fingerprint(),
    );
    assert.notEqual(
      await data.fingerprint(),
      await (await fromIterable('stream', [2], samples(4))).fingerprint(),
    );
  });

  it('refuses samples of another shape, and none', async () => {
    await refuses('DATA_MISMATCH', /3 numbers for shape \[3\] in sample 0/, () =>
      fromIterable('s', [3], samples(1)),
    );
    await refuses('DATA_MISMATCH', /at least one sample/, () => fromIterable('s', [2], samples(0)));
    const mixed = () => [{ x: Uint8Array.of(1), label: 1 }, { x: Uint8Array.of(1) }];
    await refuses('DATA_MISMATCH', /label of sample 1/, async () =>
      collect(await fromIterable('s', [1], mixed), 2),
    );
  });
});

describe('split and preprocessing', () => {
  it('halves are exact, disjoint, seeded and the same everywhere', () => {
    for (const size of [0, 1, 2, 5, 450, 5000]) {
      const { validation, judged } = half(0, size);
      const all = Array.from({ length: size }, (_, i) => i);
      assert.equal(all.filter(validation).length, Math.floor(size / 2));
      assert.ok(all.every((i) => validation(i) !== judged(i)));
      assert.ok(!validation(size) && !judged(size));
    }
    const chosen = (seed: number) =>
      Array.from({ length: 16 }, (_, i) => i).filter(half(seed, 16).validation);
    assert.notDeepEqual(chosen(0), chosen(1));
    assert.deepEqual(chosen(0), chosen(0));
    const { validation, judged } = half(7, null);
    const open = Array.from({ length: 4000 }, (_, i) => i);
    assert.ok(Math.abs(open.filter(validation).length - 2000) < 130);
    assert.ok(open.every((i) => validation(i) !== judged(i)));
    // Neighbours must be independent: pairs that fall together are half of all.
    const together = open.filter((i) => validation(i) === validation(i + 1)).length;
    assert.ok(Math.abs(together - 2000) < 130);
  });

  it('parses fractions, lists and frames, and names what it cannot', async () => {
    assert.deepEqual(
      parsePreprocessing({
        resize: '256x240',
        crop: [224, 224],
        scale: '1/255',
        mean: '.485,.456,.406',
        std: '0.5',
      }),
      { resize: [256, 240], crop: [224, 224], scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: 0.5 },
    );
    assert.deepEqual(parsePreprocessing({ scale: 0.5, mean: [83], std: undefined }), {
      scale: 0.5,
      mean: 83,
    });
    const wrong: [object, RegExp][] = [
      [{ scale: '1/0' }, /scale/],
      [{ scale: 'abc' }, /scale/],
      [{ scale: '1,2' }, /scale/],
      [{ scale: '' }, /scale/],
      [{ mean: '1,,2' }, /mean/],
      [{ std: '1,0' }, /std/],
      [{ resize: '224' }, /WxH.* resize .*"224"/],
      [{ crop: '0x5' }, /crop/],
      [{ crop: [1, 2, 3] }, /crop/],
      [{ zoom: 1 }, /preprocessing .*"zoom"/],
    ];
    for (const [input, says] of wrong)
      await refuses('INVALID_ARGUMENT', says, () => parsePreprocessing(input));
  });
});

describe('the test bed', () => {
  before(function () {
    if (existsSync(testbed)) return;
    console.log(`      skipped: no test bed at ${testbed}`);
    this.skip();
  });

  it('reads its arrays', async () => {
    const sets: [string, number, number[], number][] = [
      ['cifar10-test.npz', 5000, [3, 32, 32], 10],
      ['kws-test.npz', 450, [1, 49, 10], 12],
      ['vww-calibration.npz', 100, [3, 96, 96], 2],
    ];
    for (const [file, size, shape, classes] of sets) {
      const data = await openDataset(join(testbed, 'data', file), { labels: true });
      assert.deepEqual([data.size, data.shape], [size, shape]);
      const seen = new Set<number>();
      let count = 0;
      for await (const batch of data.batches({ size: 128 })) {
        count += batch.count;
        for (const label of batch.labels!) seen.add(label);
      }
      assert.deepEqual(
        [count, [...seen].sort((a, b) => a - b)],
        [size, Array.from({ length: classes }, (_, i) => i)],
      );
    }
  });

  it('reads its images: the crop is the middle of the decoded file', async () => {
    const path = join(testbed, 'data', 'imagenet-test');
    const data = await openDataset(path, { preprocessing: { crop: [224, 224] } });
    assert.deepEqual([data.size, data.shape, data.labelled], [650, [3, 224, 224], true]);
    const [batch] = await collect(data, 4, (index) => index < 4);
    const { data: pixels, info } = await sharp(await readFile(join(path, '0001.jpg')))
      .raw()
      .toBuffer({ resolveWithObject: true });
    assert.deepEqual([info.width, info.height, batch.labels![1]], [227, 227, 143]);
    for (const [c, y, x] of [
      [0, 0, 0],
      [1, 100, 17],
      [2, 223, 223],
    ]) {
      const expected = pixels[((y + 1) * 227 + x + 1) * 3 + c];
      assert.equal(batch.x[((1 * 3 + c) * 224 + y) * 224 + x], expected);
    }
  });
});
