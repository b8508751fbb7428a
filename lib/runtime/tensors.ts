import { refuse, SigmaQuantError } from '../errors.ts';
import type { Port, Tensor, TensorData } from '../graph/graph.ts';
import { ARRAYS, sizeOf } from '../graph/tensors.ts';

/** Elements alone, whose batch follows from their number, or with a shape. */
export type InputValue = TensorData | { data: TensorData; shape: readonly number[] };

/** Input name -> value. */
export type Inputs = Readonly<Record<string, InputValue>>;

function namesOf(ports: readonly Port[]): string {
  return ports.map(({ name }) => JSON.stringify(name)).join(', ');
}

/** The inputs as tensors. Throws INVALID_ARGUMENT for names, types, lengths and shapes that do not fit. */
export function inputTensors(ports: readonly Port[], inputs: Inputs): Map<string, Tensor> {
  if (typeof inputs !== 'object' || inputs === null || ArrayBuffer.isView(inputs))
    refuse(`an object with ${namesOf(ports)}`, 'inputs', inputs);
  for (const name of Object.keys(inputs))
    if (!ports.some((port) => port.name === name)) refuse(`an input (${namesOf(ports)})`, 'inputs', name);
  return new Map(
    ports.map((port) => {
      if (!Object.hasOwn(inputs, port.name))
        refuse(`a value for ${JSON.stringify(port.name)}`, 'inputs', 'none');
      return [port.name, inputTensor(port, inputs[port.name])];
    }),
  );
}

function inputTensor(port: Port, value: InputValue): Tensor {
  const shaped = typeof value === 'object' && value !== null && 'shape' in value ? value : null;
  const data = shaped ? shaped.data : (value as TensorData);
  checkElements(port, data, `input ${port.name}`);
  const shape = shaped ? checkedShape(port, shaped.shape, data.length) : impliedShape(port, data.length);
  return { dtype: port.dtype, shape, data };
}

/** Throws unless it is an array of the port's type that still has its memory. */
export function checkElements(port: Port, data: TensorData, name: string): void {
  const { dtype } = port;
  const type = dtype === 'string' ? Array : ARRAYS[dtype];
  if (!(data instanceof type)) refuse(`${article(type.name)} (${dtype})`, name, data);
}

const article = (noun: string) => `${/^[AEIOU]/.test(noun) ? 'an' : 'a'} ${noun}`;

function open(port: Port): number[] {
  return port.shape.flatMap((size, axis) => (typeof size === 'string' ? [axis] : []));
}

const written = (shape: readonly (number | string)[]) => `[${shape.join(', ')}]`;

function checkedShape(port: Port, shape: readonly number[], length: number): readonly number[] {
  const fits =
    Array.isArray(shape) &&
    shape.length === port.shape.length &&
    shape.every((size, axis) => Number.isSafeInteger(size) && size >= 0 && isLike(port.shape[axis], size));
  if (!fits)
    mismatch(port, `shape ${written(port.shape)}`, Array.isArray(shape) ? written(shape) : String(shape));
  if (sizeOf(shape) !== length)
    mismatch(port, `${sizeOf(shape)} elements for shape ${written(shape)}`, String(length));
  return [...shape];
}

const isLike = (declared: number | string, size: number) => typeof declared === 'string' || declared === size;

/** The shape whose one open dimension takes all there is. */
function impliedShape(port: Port, length: number): number[] {
  const sizes = port.shape.map((size) => (typeof size === 'string' ? 1 : size));
  const sample = sizeOf(sizes);
  const axes = open(port);
  if (axes.length > 1)
    mismatch(port, `{ data, shape } where several dimensions of ${written(port.shape)} are open`, 'data');
  if (axes.length === 0 ? length !== sample : length === 0 || length % sample !== 0)
    mismatch(
      port,
      `${axes.length === 0 ? '' : 'a multiple of '}${sample} elements (shape ${written(port.shape)})`,
      String(length),
    );
  if (axes.length === 1) sizes[axes[0]] = length / sample;
  return sizes;
}

function mismatch(port: Port, expected: string, received: string): never {
  throw new SigmaQuantError(
    'DATA_MISMATCH',
    `Expected ${expected} for input ${port.name} but received ${received}.`,
  );
}
