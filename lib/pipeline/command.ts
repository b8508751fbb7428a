import type { DataSource, QuantizeOptions } from './options.ts';

/**
 * The command line that makes the same artefacts again. Left out is what does not change them: where they are
 * written, threads and backend.
 */
export function commandOf(options: QuantizeOptions): string {
  const words = ['sigmaquant', 'quantize', nameOf(options.model)];
  const flag = (name: string, value: string | number | boolean | undefined) => {
    if (value === undefined || value === false) return;
    words.push(value === true ? `--${name}` : `--${name} ${quote(String(value))}`);
  };
  const source = (data: DataSource | undefined) => (typeof data === 'object' ? data.name : data);
  const list = (values: number | readonly number[] | undefined) =>
    typeof values === 'object' ? values.join(',') : values;
  const { preprocessing = {} } = options;

  flag('calibration', source(options.calibration));
  flag('validation', source(options.validation));
  flag('evaluate', source(options.evaluate));
  flag('resize', preprocessing.resize?.join('x'));
  flag('crop', preprocessing.crop?.join('x'));
  flag('scale', fraction(preprocessing.scale));
  flag('mean', list(preprocessing.mean));
  flag('std', list(preprocessing.std));
  for (const [name, shape] of Object.entries(options.inputShapes ?? {}))
    flag('input-shape', `${name}=${shape.join('x')}`);
  for (const target of options.targets ?? []) flag('target', target);
  flag('max-drop', options.maxDrop);
  flag('min-accuracy', options.minAccuracy);
  flag('min-sqnr', options.minSqnr);
  flag('metric', typeof options.metric === 'function' ? options.metric.name || 'FILE.mjs' : options.metric);
  flag('strategy', options.strategy);
  flag('recovery', options.recovery);
  flag('training', source(options.training));
  flag('training-samples', options.trainingSamples);
  flag('epochs', options.epochs);
  flag('epochs-per-step', options.epochsPerStep);
  flag('learning-rate', options.learningRate);
  flag('label-share', options.labelShare);
  flag('augment', options.augment && (options.augment.join(',') || 'none'));
  flag('bits', list(options.bits));
  flag('activation-bits', list(options.activationBits));
  flag('free-ends', options.freeEnds);
  for (const [layer, bits] of Object.entries(options.pins ?? {})) flag('pin', `${layer}=${bits}`);
  for (const [layer, bits] of Object.entries(options.bans ?? {})) flag('ban', `${layer}=${list(bits)}`);
  for (const group of options.groups ?? [])
    flag('group', typeof group === 'string' ? group : group.join(','));
  flag('minimize', options.minimize);
  flag('device', typeof options.device === 'object' ? options.device.name : options.device);
  flag('ranges', options.ranges);
  flag('samples', options.samples);
  flag('evaluations', options.evaluations);
  flag('opset', options.opset);
  flag('executor', options.executor === 'engine' ? undefined : options.executor);
  flag('seed', options.seed);
  return words.join(' ');
}

function nameOf(model: QuantizeOptions['model']): string {
  return quote(typeof model === 'string' ? model : model.name);
}

/** 0.00392156862745098 reads better, and is the same number, as 1/255. */
function fraction(scale: number | undefined): string | undefined {
  if (scale === undefined) return undefined;
  const inverse = Math.round(1 / scale);
  return Math.abs(inverse) > 1 && 1 / inverse === scale ? `1/${inverse}` : String(scale);
}

/** For a POSIX shell; plain words stay as they are. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
