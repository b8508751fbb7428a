import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type AllocationFile, serializeAllocation } from '../lib/export/allocation.ts';
import { type HtmlReportInput, htmlReport } from '../lib/report/html.ts';
import { html } from '../lib/report/html-markup.ts';
import { amount, shown } from '../lib/report/html-numbers.ts';
import { SCRIPT, SCRIPT_SHA256 } from '../lib/report/html-page.ts';
import { STYLE } from '../lib/report/html-style.ts';
import { contrast, DARK, HEAT, heatText, LIGHT, mixed } from '../lib/report/html-theme.ts';
import { escaped, linearAxis, logAxis } from '../lib/report/svg.ts';

const OFFERED = [2, 3, 4, 6, 8];
const DIGEST = 'ab'.repeat(32);
const VERDICTS = ['met', 'accuracy-only', 'resource-only', 'impossible'] as const;

/** Names that try to become markup, script, style or another order of letters; each below 33 characters. */
const HOSTILE = [
  '</script><b>bold',
  '"onload=alert(1) x="',
  "' onmouseover='alert(1)",
  '<img src=x onerror=alert(1)>',
  '</title></svg><script>alert(1)//',
  '--><!-- ]]> &lt;b&gt; &#60;',
  '</style>*{display:none}',
  '\u202egnirts\u0000\u0007\ud800 end',
  '`$' + '{1}` \\" \\n',
];

function measurement(drop: number) {
  return { drop, accuracy: 90 - drop, divergence: 0.01 };
}

function accuracy(drop: number, samples: number): NonNullable<AllocationFile['accuracy']> {
  return {
    metric: 'top-1',
    float: 91.5,
    quantized: 91.5 - drop,
    drop,
    interval: [drop - 0.5, drop + 0.5],
    samples,
  };
}

function allocationOf(names: readonly string[]): AllocationFile {
  const layers = names.map((name, i) => {
    const [weights, weightCount, outChannels] = [OFFERED[i % OFFERED.length], 1000 * (i + 1), 16];
    const weightBytes = Math.ceil((weightCount * weights) / 8) + 8 * outChannels;
    return {
      ...{ name, op: 'Conv' as const, parameters: weightCount + outChannels, weightCount, outChannels },
      ...{ macs: 1e6, sigma: 0.05, weights, activations: i % 7 === 3 ? 4 : 8, weightBytes },
      ...{ rawSigma: null, offered: [] },
    };
  });
  const weightBytes = layers.reduce((sum, layer) => sum + layer.weightBytes, 0);
  const cost = { weightBytes, averageBits: 4.5, bops: 2e9 };
  return {
    version: 1,
    tool: { name: 'sigmaquant', version: '1.2.3' },
    model: { name: 'net', sha256: DIGEST },
    exported: { file: 'model.onnx', profile: 'ort', opset: 21, sha256: DIGEST },
    executor: { name: 'engine', version: '1.2.3' },
    ...{ seed: 7, strategy: 'sensitivity', recovery: 'gptq', ranges: 'mse', preprocessing: { scale: 0.5 } },
    targets: [{ resource: 'weightBytes', limit: weightBytes + 1, text: 'size=20%' }],
    floor: { text: 'max-drop=1', maxDrop: 1 },
    verdict: 'met',
    ...{ binding: [], reachable: null, feasible: [], uniform: [], warnings: [] },
    device: { name: 'generic-memory', sha256: DIGEST },
    ...{ cost, floatBytes: 8 * weightBytes },
    validation: accuracy(0.75, 2500),
    accuracy: accuracy(0.5, 2400),
    data: { calibration: { name: 'train.npz', samples: 64, sha256: DIGEST }, validation: null, judged: null },
    layers,
    quantizers: [],
    floatNodes: [{ name: names[0] ?? 'none', op: 'Softmax' }],
    evaluations: 3,
    trace: names.slice(0, 50).map((layer, i) => ({
      phase: 'press',
      moves: [{ layer, from: 8, to: 4 }],
      ...{ reason: `because of ${layer}`, cost, measurement: measurement(i / 50), kept: i % 2 === 0 },
    })),
  };
}

function inputOf(names: readonly string[]): HtmlReportInput {
  const allocation = allocationOf(names);
  const { layers, cost } = allocation;
  const counts = (shift: number) => Array.from({ length: 100 }, (_, i) => (i * 37 + shift) % 91);
  return {
    allocation,
    command: 'sigmaquant quantize net.onnx --max-drop 1',
    ...{ fileBytes: 9000, sqntBytes: 5000 },
    sensitivities: layers.map(({ name }, i) => ({
      ...{ layer: name, source: 'output' as const, widths: OFFERED },
      losses: OFFERED.map((bits) => 4 ** -bits * (i + 1)),
    })),
    front: {
      ...{ resource: 'weightBytes', unit: 'B', float: allocation.floatBytes },
      points: [
        { cost: cost.weightBytes, drop: 0.75, kind: 'front', label: 'this result', chosen: true },
        ...OFFERED.map((bits) => ({
          cost: cost.weightBytes * (bits / 4.2),
          ...{ drop: 40 / 4 ** (bits - 2), kind: 'uniform' as const, label: `${bits} bits`, chosen: false },
        })),
        { cost: cost.weightBytes * 1.5, drop: 30, kind: 'tried', label: 'step 1', chosen: false },
      ],
    },
    histograms: layers.map(({ name, weights }, i) => ({
      ...{ layer: name, bits: weights, low: -0.5, high: 0.5, float: counts(i), quantized: counts(2 * i) },
    })),
    device: {
      ...{ name: 'mac', description: 'One multiplier', notes: ['4 bits round up to 8.'] },
      resources: [
        { name: 'energy', title: 'energy', unit: 'J', total: 4e-5, reference: 5e-5 },
        { name: 'latency', title: 'latency', unit: 'ms', total: 12, reference: null },
      ],
      layers: layers.map(({ name }, i) => ({ layer: name, shares: [1e-6 * (i + 1), 1] })),
    },
    explanations: layers.map(({ name }) => ({ layer: name, text: `${name} has its width for a reason.` })),
  };
}

const namesOf = (amount: number) => Array.from({ length: amount }, (_, i) => `stage${i >> 3}.conv${i}`);
const withAllocation = (input: HtmlReportInput, change: Partial<AllocationFile>): HtmlReportInput => ({
  ...input,
  allocation: { ...input.allocation, ...change },
});

interface Tag {
  name: string;
  attributes: Map<string, string>;
}

/** What absence is shown by: a page of a megabyte in a message helps nobody. */
function absent(text: string, pattern: RegExp): void {
  const found = pattern.exec(text);
  assert.ok(!found, `found ${found?.[0]}: ${text.slice((found?.index ?? 0) - 60, (found?.index ?? 0) + 60)}`);
}

/** Every start tag in order; throws where tags do not nest, an attribute is not quoted, or an id comes twice. */
function tagsOf(page: string): Tag[] {
  const tags: Tag[] = [];
  const open: string[] = [];
  const text = page.replace('<!DOCTYPE html>', '');
  const pattern = /<(\/?)([a-z0-9]+)((?: [a-zA-Z-]+(?:="[^"<]*")?)*)(\/?)>/y;
  for (let at = text.indexOf('<'); at >= 0; at = text.indexOf('<', pattern.lastIndex)) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    assert.ok(match, `no tag: ${text.slice(at, at + 80)}`);
    const [, closing, name, rest, empty] = match;
    if (closing) assert.equal(name, open.pop(), `before ${text.slice(at - 80, at + 20)}`);
    else {
      const attributes = [...rest.matchAll(/ ([a-zA-Z-]+)(?:="([^"]*)")?/g)].map(
        ([, key, value]) => [key, value ?? ''] as const,
      );
      assert.equal(new Map(attributes).size, attributes.length, `twice the same attribute: ${rest}`);
      tags.push({ name, attributes: new Map(attributes) });
      if (!empty && name !== 'meta') open.push(name);
      if (name === 'script' || name === 'style') pattern.lastIndex = text.indexOf(`</${name}>`, at);
    }
  }
  assert.deepEqual(open, []);
  const ids = tags.flatMap(({ attributes }) => attributes.get('id') ?? []);
  assert.equal(new Set(ids).size, ids.length, 'an id stands twice');
  for (const { attributes } of tags)
    for (const id of [
      ...(attributes.get('aria-labelledby')?.split(' ') ?? []),
      ...(attributes.get('href')?.match(/(?<=^#).*/) ?? []),
    ])
      assert.ok(ids.includes(id), `nothing has the id ${id}`);
  return tags;
}

/** What a person reads, and what numbers drawings have. */
const visible = (page: string) => page.replace(/<style>[\s\S]*?<\/style>|<script>[\s\S]*?<\/script>/g, '');
const words = (page: string) => visible(page).replace(/<[^>]*>/g, ' ');
const part = (page: string, id: string) =>
  page.slice(
    page.indexOf(`<section id="${id}"`),
    page.indexOf('</section>', page.indexOf(`<section id="${id}"`)),
  );
const attribute = (tags: readonly Tag[], name: string, key: string) =>
  tags.filter((tag) => tag.name === name).flatMap(({ attributes }) => attributes.get(key) ?? []);

describe('HTML report: page', () => {
  it('stands on a real allocation', () => {
    serializeAllocation(inputOf(namesOf(20)).allocation);
  });

  for (const layers of [0, 1, 2, 20, 53, 200])
    it(`is well-formed, complete and light with ${layers} layers`, () => {
      const page = htmlReport(inputOf(namesOf(layers)));
      const tags = tagsOf(page);
      assert.deepEqual(attribute(tags, 'section', 'id'), [
        'verdict',
        'numbers',
        'widths',
        'sensitivity',
        'front',
        'histograms',
        'device',
        'trace',
        'layers',
        'made',
      ]);
      assert.equal(tags.filter(({ name }) => name === 'script').length, 1);
      assert.equal(part(page, 'widths').match(/<rect class="bits-\d" x="[\d.]+" y=/g)?.length ?? 0, layers);
      assert.equal(part(page, 'sensitivity').match(/ pick"/g)?.length ?? 0, layers);
      assert.equal(part(page, 'histograms').match(/<path class="after" d=/g)?.length ?? 0, layers);
      if (layers <= 53) assert.ok(page.length < 400_000, `${page.length} bytes`);
      assert.ok(page.length < 1_000_000, `${page.length} bytes`);
    });

  it('has a name and a description for every picture, and a sentence for every section', () => {
    const tags = tagsOf(htmlReport(inputOf(namesOf(20))));
    for (const { name, attributes } of tags)
      if (name === 'svg' && attributes.has('role'))
        assert.equal(attributes.get('aria-labelledby')!.split(' ').length, 2);
    const inLegends = tags.filter(({ name, attributes }) => name === 'svg' && !attributes.has('role'));
    const reading = tags.filter(({ attributes }) => attributes.get('class') === 'reading');
    assert.notEqual(inLegends.length, 0);
    assert.equal(reading.length, 9);
  });

  it('needs nothing from elsewhere', () => {
    const page = htmlReport(inputOf(namesOf(20)));
    absent(page, /https?:|\bsrc=|@import|url\(|<link|\bdata:[a-z]+\//);
    assert.match(page, /default-src &#39;none&#39;/);
  });

  it('may run its own script and no other', () => {
    assert.equal(SCRIPT_SHA256, createHash('sha256').update(SCRIPT).digest('base64'));
    assert.equal(htmlReport(inputOf([])).split(`<script>${SCRIPT}</script>`).length, 2);
  });

  it('is the same text for the same input', () => {
    assert.equal(htmlReport(inputOf(namesOf(20))), htmlReport(structuredClone(inputOf(namesOf(20)))));
  });
});

describe('HTML report: what others named', () => {
  it('is text, whatever it looks like', () => {
    const harmless = HOSTILE.map((_, i) => `layer number ${i} of a network`);
    const skeleton = (names: readonly string[]) => {
      const input = withAllocation(inputOf(names), {
        warnings: [...names],
        model: { name: names[0], sha256: DIGEST },
      });
      const page = htmlReport({ ...input, command: names.join(' ') });
      return {
        page,
        tags: tagsOf(page).map(({ name, attributes }) => [name, ...attributes.keys()].join(' ')),
      };
    };
    const { page, tags } = skeleton(HOSTILE);
    assert.deepEqual(tags, skeleton(harmless).tags);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    absent(page, /[\u0000-\u0008\u202a-\u202e\ud800-\udfff]/u);
    assert.ok(page.includes(escaped(HOSTILE[3])), 'the name is not there');
  });

  it('is escaped by the template, not by who fills it', () => {
    assert.equal(
      html`<b title="${'"<>&'}">${[1, null, "'"]}</b>`.text,
      '<b title="&quot;&lt;&gt;&amp;">1&#39;</b>',
    );
    assert.equal(html`${html`<i>${'<'}</i>`}${Number.NaN}`.text, '<i>&lt;</i>');
  });
});

describe('HTML report: numbers', () => {
  for (const [name, value] of [
    ['NaN', Number.NaN],
    ['an infinity', Number.POSITIVE_INFINITY],
    ['the largest number', Number.MAX_VALUE],
    ['its negative', -Number.MAX_VALUE],
  ] as const)
    it(`never shows ${name}`, () => {
      const input = inputOf(namesOf(6));
      const spoiled = (cost: Record<string, number>) =>
        Object.fromEntries(Object.keys(cost).map((key) => [key, value]));
      const { allocation } = input;
      const page = htmlReport({
        ...withAllocation(input, {
          cost: spoiled(allocation.cost),
          reachable: { cost: spoiled(allocation.cost), measurement: measurement(value) },
          floor: { text: 'max-drop=1', maxDrop: value },
          targets: [{ resource: 'weightBytes', limit: value, text: 'size=20%' }],
          validation: { ...accuracy(value, 10), float: value, quantized: value },
          accuracy: { ...accuracy(value, 10), float: value, quantized: value },
          layers: allocation.layers.map((layer) => ({ ...layer, sigma: value })),
          trace: allocation.trace.map((step) => ({
            ...step,
            cost: spoiled(step.cost),
            measurement: { drop: value, accuracy: value, divergence: value },
          })),
        }),
        sensitivities: input.sensitivities.map((row) => ({ ...row, losses: row.losses.map(() => value) })),
        front: {
          ...input.front!,
          float: value,
          points: input.front!.points.map((point, i) =>
            i % 2 ? { ...point, drop: value } : { ...point, cost: value },
          ),
        },
        histograms: input.histograms.map((histogram) => ({
          ...{ ...histogram, low: value, high: value },
          ...{ float: histogram.float.map(() => value), quantized: histogram.quantized.map(() => value) },
        })),
        device: {
          ...input.device!,
          resources: input.device!.resources.map((resource) => ({
            ...resource,
            total: value,
            reference: value,
          })),
          layers: input.device!.layers.map(({ layer }) => ({ layer, shares: [value, value] })),
        },
      });
      tagsOf(page);
      absent(visible(page), /NaN|Infinity|undefined|1\.797|1797693|e\+\d{2}/);
      assert.match(words(page), /\u2013/);
    });

  it('carry their units', () => {
    assert.equal(amount(89_600, 'B'), '89.6 kB');
    assert.equal(amount(40.89e-6, 'J'), '40.89 \u00b5J');
    assert.equal(amount(1.363e10, 'BOPs'), '13.63 GBOPs');
    assert.equal(amount(12, 'ms'), '12.00 ms');
    assert.equal(amount(2.505, 'bits'), '2.505 bits');
    assert.equal(amount(null, 'J'), '\u2013');
    assert.equal(shown(0, String), '0');
  });

  it('lie on axes that end where they do', () => {
    const axis = linearAxis(0, 250_000, 0, 500, 6);
    assert.deepEqual(axis.ticks, [0, 50_000, 100_000, 150_000, 200_000, 250_000]);
    assert.deepEqual([axis.at(0), axis.at(250_000)], [0, 500]);
    assert.deepEqual(logAxis(1, 100, 10, 30, [1]).ticks.map(logAxis(1, 100, 10, 30, [1]).at), [10, 20, 30]);
  });
});

describe('HTML report: sections', () => {
  for (const verdict of VERDICTS)
    it(`says ${verdict} in words and colour before anything else`, () => {
      const page = htmlReport(
        withAllocation(inputOf(namesOf(8)), {
          verdict,
          binding: namesOf(8).map((layer) => ({ layer, reason: 'it is wide' })),
          reachable: { cost: { weightBytes: 12_345 }, measurement: measurement(0.25) },
        }),
      );
      tagsOf(page);
      const tone = verdict === 'met' ? 'good' : verdict === 'impossible' ? 'bad' : 'warn';
      assert.match(
        part(page, 'verdict'),
        new RegExp(`class="verdict ${tone}">.*<strong>${verdict}</strong>`),
      );
      assert.match(
        words(part(page, 'verdict')),
        /Closest reachable: weight memory 12\.3 kB, a drop of \+0\.25/,
      );
      assert.match(words(part(page, 'verdict')), /and 3 more/);
    });

  it('sets what came beside what was asked, on validation and on unseen samples', () => {
    const input = withAllocation(inputOf(namesOf(4)), { accuracy: accuracy(1.25, 2400) });
    const { cost, targets } = input.allocation;
    const rows = [...part(htmlReport(input), 'verdict').matchAll(/<tr><th scope="row".*<\/tr>/g)].map(
      ([row]) => words(row).replace(/\s+/g, ' ').trim(),
    );
    assert.deepEqual(rows, [
      `size=20% \u2713 yes ${amount(cost['weightBytes'], 'B')} at most ${amount(targets[0].limit, 'B')} weight memory`,
      'max-drop=1 \u2713 yes +0.75 (+0.25 to +1.25) at most +1.00 drop on validation, which the search saw',
      'max-drop=1 \u2717 no +1.25 (+0.75 to +1.75) at most +1.00 drop on unseen samples',
    ]);
  });

  it('says so where nothing was asked, judged, measured or drawn', () => {
    const page = htmlReport({
      ...withAllocation(inputOf(namesOf(4)), {
        targets: [],
        floor: null,
        accuracy: null,
        validation: null,
        trace: [],
      }),
      ...{ sensitivities: [], front: null, histograms: [], device: null, explanations: [], sqntBytes: null },
    });
    tagsOf(page);
    for (const sentence of [
      /the knee of the front was taken/,
      /the accuracy on unseen data is not known/,
      /no front to show/,
      /No device was named/,
      /No histograms/,
      /No layer was measured/,
    ])
      assert.match(words(page), sentence);
    const empty = htmlReport({
      ...inputOf(namesOf(4)),
      front: { resource: 'weightBytes', unit: 'B', float: null, points: [] },
      device: { name: 'd', description: '', resources: [], layers: [], notes: [] },
    });
    tagsOf(empty);
    assert.match(words(empty), /no front to show/);
  });

  it('speaks of decibels where there are no classes', () => {
    const sqnr = { metric: 'sqnr', float: null, quantized: 31.5, drop: null, interval: null, samples: 10 };
    const text = words(
      htmlReport(
        withAllocation(inputOf(namesOf(4)), {
          floor: { text: 'min-sqnr=30', maxDrop: 0 },
          ...{ validation: sqnr, accuracy: sqnr },
        }),
      ),
    );
    assert.match(text, /min-sqnr=30\s+\u2713 yes\s+31\.50 dB/);
    absent(text, /31\.50 %/);
  });

  it('draws a bar as high as the width, and all names at their places', () => {
    const chart = part(htmlReport(inputOf(namesOf(53))), 'widths');
    const heights = [
      ...chart.matchAll(/<rect class="bits-(\d)" x="[\d.]+" y="([\d.]+)"[^>]* height="(\d+)"/g),
    ];
    assert.equal(heights.length, 53);
    for (const [, bits, y, height] of heights)
      assert.deepEqual([Number(height), Number(y) + Number(height)], [15 * Number(bits), 144]);
    assert.equal(chart.match(/<svg viewBox="0 0 \d+ \d+"/g)!.filter((svg) => !/ 18 14"/.test(svg)).length, 2);
  });

  it('colours losses in order, and a loss without a number not at all', () => {
    const losses = [1e-9, 1e-5, 1e-4, 1e-3, 0.1];
    const input = {
      ...inputOf(['only']),
      sensitivities: [{ layer: 'only', source: 'output' as const, widths: OFFERED, losses }],
    };
    const steps = [...part(htmlReport(input), 'sensitivity').matchAll(/<td class="number h(\d)/g)].map(
      ([, step]) => Number(step),
    );
    assert.deepEqual(steps, [0, 3, 4, 6, HEAT.length - 1]);
    assert.deepEqual(
      steps,
      steps.toSorted((a, b) => a - b),
    );
    const none = {
      ...input,
      sensitivities: [{ ...input.sensitivities[0], losses: [Number.NaN, 0, 0, 0, 0] }],
    };
    assert.match(part(htmlReport(none), 'sensitivity'), /<td class="number quiet pick">\u2013/);
  });

  it('draws the front through what nothing beats, and marks this result', () => {
    const [cheap, beaten, best, dear] = [
      [100, 5],
      [150, 6],
      [200, 1],
      [300, 0.5],
    ].map(([cost, drop], i) => ({
      ...{
        cost,
        drop,
        label: `p${i}`,
        kind: i === 1 ? ('tried' as const) : ('front' as const),
        chosen: i === 2,
      },
    }));
    const page = htmlReport({
      ...inputOf(['a']),
      front: { resource: 'bops', unit: 'BOPs', float: null, points: [dear, beaten, best, cheap] },
    });
    const chart = part(page, 'front');
    const [, line] = /<path class="accent-line" d="([^"]+)"/.exec(chart)!;
    assert.deepEqual(
      line
        .replace(/[\d.]+/g, '')
        .trim()
        .split(' ')
        .join(''),
      'MHVHV',
    );
    const [, x, y] = /<path class="ring" d="M([\d.]+) ([\d.]+)/.exec(chart.slice(chart.indexOf('<figure')))!;
    assert.ok(line.includes(`H${x}V${Number(y) + 10}`), `${line} through ${x} ${y}`);
    assert.match(words(chart), /this result takes 200\.0 BOPs at a drop of \+1\.00 points/);
  });

  it('ranks what layers take of the hardware, and leaves none out', () => {
    const page = part(htmlReport(inputOf(namesOf(30))), 'device');
    const energy = page.slice(page.indexOf('<h3>energy'), page.indexOf('<h3>latency'));
    const shares = [...energy.matchAll(/<text class="small quiet"[^>]*>([\d.]+) %/g)].map(([, share]) =>
      Number(share),
    );
    assert.equal(shares.length, 13);
    assert.deepEqual(
      shares.slice(0, 12),
      shares.slice(0, 12).toSorted((a, b) => b - a),
    );
    const total = shares.reduce((sum, share) => sum + share, 0);
    assert.ok(Math.abs(total - 100) < 0.7, `${total} %`);
    assert.match(energy, /the other 18 layers/);
    assert.match(words(page), /40\.00 \u00b5J\s+50\.00 \u00b5J\s+-20\.0 %/);
  });

  it('closes a long trace, and has a row for every step', () => {
    const steps = (names: readonly string[]) => part(htmlReport(inputOf(names)), 'trace');
    absent(steps(namesOf(40)), /<details/);
    assert.match(steps(namesOf(50)), /<details><summary>All 50 steps/);
    assert.equal(steps(namesOf(50)).match(/because of/g)!.length, 50);
  });

  it('says how to make it again', () => {
    const text = words(part(htmlReport(inputOf(namesOf(4))), 'made'));
    for (const fact of [
      'sigmaquant quantize net.onnx --max-drop 1',
      DIGEST,
      'train.npz',
      'sigmaquant 1.2.3',
      '{&quot;scale&quot;:0.5}',
    ])
      assert.ok(text.includes(fact), fact);
  });
});

describe('HTML report: colours', () => {
  for (const [name, theme] of [
    ['light', LIGHT],
    ['dark', DARK],
  ] as const)
    it(`can be read in ${name}`, () => {
      for (const background of [theme.background, theme.panel])
        for (const text of ['text', 'quiet', 'link', 'good', 'warn', 'bad'] as const)
          assert.ok(
            contrast(theme[text], background) >= 4.5,
            `${text}: ${contrast(theme[text], background)}`,
          );
      for (const mark of [
        theme.accent,
        theme.other,
        theme.narrow,
        theme.wide,
        mixed(theme.narrow, theme.wide, 0.5),
      ])
        assert.ok(contrast(mark, theme.background) >= 3, `${mark}: ${contrast(mark, theme.background)}`);
      for (const colour of Object.values(theme)) assert.ok(STYLE.includes(colour), colour);
    });

  it('can be read on every step of the heat map, which rises in lightness', () => {
    const lightness = HEAT.map((colour) => contrast(colour, '#000000'));
    assert.deepEqual(
      lightness,
      lightness.toSorted((a, b) => a - b),
    );
    HEAT.forEach((colour, step) => {
      assert.ok(contrast(heatText(step), colour) >= 4.5, `${colour}: ${contrast(heatText(step), colour)}`);
    });
  });

  it('measures contrast as WCAG does', () => {
    assert.equal(contrast('#000000', '#ffffff'), 21);
    assert.equal(contrast('#767676', '#ffffff').toFixed(2), '4.54');
  });
});
