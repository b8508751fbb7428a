/** The form's options as the library takes them. Throws an Error with a sentence that names the field. */
export function optionsOf(form) {
  const text = (name) => form.elements[name].value.trim();
  const number = (name) => (text(name) === '' ? undefined : Number(text(name)));
  const targets = text('targets')
    .split(/[\s,]+/)
    .filter((target) => target !== '');
  return {
    targets,
    maxDrop: number('maxDrop'),
    evaluations: number('evaluations'),
    samples: number('samples'),
    preprocessing: present({
      resize: size(text('resize'), 'resize'),
      crop: size(text('crop'), 'crop'),
      scale: fraction(text('scale')),
      mean: numbers(text('mean'), 'mean'),
      std: numbers(text('std'), 'standard deviation'),
    }),
  };
}

function present(record) {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined));
}

/** 1/255 or 0.5. */
function fraction(text) {
  if (text === '') return undefined;
  const [top, bottom = '1', ...rest] = text.split('/');
  const value = Number(top) / Number(bottom);
  if (rest.length > 0 || !Number.isFinite(value) || value === 0)
    throw new Error(`Expected a number or a fraction such as 1/255 for scale but received ${text}.`);
  return value;
}

/** One number, or one per channel. */
function numbers(text, name) {
  if (text === '') return undefined;
  const values = text
    .split(/[\s,]+/)
    .filter((part) => part !== '')
    .map(Number);
  if (!values.every(Number.isFinite))
    throw new Error(`Expected numbers with commas between them for ${name} but received ${text}.`);
  return values.length === 1 ? values[0] : values;
}

/** 224x224: width and height. */
function size(text, name) {
  if (text === '') return undefined;
  const match = /^(\d+)\s*[x×]\s*(\d+)$/i.exec(text);
  if (!match)
    throw new Error(`Expected a width and a height such as 224x224 for ${name} but received ${text}.`);
  return [Number(match[1]), Number(match[2])];
}
