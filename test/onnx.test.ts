import assert from 'node:assert/strict';
import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { SigmaQuantError } from '../lib/errors.ts';
import { importGraph } from '../lib/graph/index.ts';
import {
  AttributeProto_AttributeType,
  type FileModel,
  FunctionProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  readModel,
  TensorProto_DataLocation,
  TensorProto_DataType,
  writeModel,
} from '../lib/onnx/index.ts';
import { floats, modelBytes, node, wave } from './models/build.ts';
import { refusal } from './support/refusal.ts';

const plain = modelBytes({
  inputs: { x: ['batch', 3, 4, 4] },
  outputs: ['y'],
  constants: { w: wave([2, 3, 3, 3]), b: floats([2], 1, -1) },
  nodes: [node('Conv', ['x', 'w', 'b'], ['y'], { pads: [1, 1, 1, 1] })],
});

/** A file with an operator of its own, Twice, which casts before it doubles. */
const ownOperator = (): FileModel => ({
  irVersion: 10,
  opset: 21,
  domains: new Map([['own', 1]]),
  name: 'net',
  inputs: [{ name: 'x', dtype: 'float32', shape: [4] }],
  outputs: [{ name: 'y', dtype: 'float32', shape: [4] }],
  initializers: [],
  nodes: [{ ...node('Twice', ['x'], ['y'], { to: 1 }), domain: 'own' }],
  functions: [
    {
      domain: 'own',
      name: 'Twice',
      inputs: ['a'],
      outputs: ['b'],
      attributes: ['to'],
      opset: 21,
      nodes: [
        {
          name: 'cast',
          op: 'Cast',
          inputs: ['a'],
          outputs: ['c'],
          attributes: { to: { reference: 'to', type: 'INT' } },
        },
        { name: 'two', op: 'Constant', inputs: [], outputs: ['t'], attributes: { value: floats([], 2) } },
        { name: 'double', op: 'Mul', inputs: ['c', 't'], outputs: ['b'], attributes: {} },
      ],
    },
  ],
});

/** The plain model with its weights changed. */
function altered(change: (model: ReturnType<typeof readModel>) => void): Uint8Array {
  const model = readModel(plain);
  change(model);
  return toBinary(ModelProtoSchema, model);
}

describe('onnx', () => {
  it('reads what it wrote, without copying weights', () => {
    const metadata = new Map([['sigmaquant.bits', '4']]);
    const bytes = writeModel({
      irVersion: 10,
      opset: 21,
      domains: new Map([['qonnx', 1]]),
      name: 'net',
      producer: { name: 'sigmaquant', version: '0' },
      inputs: [{ name: 'x', dtype: 'float32', shape: ['N', 4] }],
      outputs: [{ name: 'y', dtype: 'float32', shape: ['N', 4] }],
      values: [{ name: 'q', dtype: 'uint8', shape: ['N', 4], metadata }],
      initializers: [
        { name: 's', tensor: floats([], 0.5), metadata },
        { name: 'i', tensor: { dtype: 'int4', shape: [3], data: Uint8Array.of(0x21, 0x0f) } },
      ],
      nodes: [
        node('Elu', ['x'], ['y'], { alpha: 1, axis: 2, axes: [1, 2], mode: 'linear', value: floats([], 3) }),
      ],
      metadata,
      quantization: new Map([['x', new Map([['SCALE_TENSOR', 's']])]]),
    });
    const model = readModel(bytes);
    const graph = model.graph!;
    assert.equal(model.irVersion, 10n);
    assert.deepEqual(
      model.opsetImport.map(({ domain, version }) => [domain, version]),
      [
        ['', 21n],
        ['qonnx', 1n],
      ],
    );
    assert.equal(model.metadataProps[0].value, '4');
    assert.equal(graph.initializer[0].metadataProps[0].key, 'sigmaquant.bits');
    assert.equal(graph.initializer[0].rawData.buffer, bytes.buffer);
    assert.equal(graph.initializer[1].dataType, TensorProto_DataType.INT4);
    assert.deepEqual([...graph.initializer[1].rawData], [0x21, 0x0f]);
    assert.equal(graph.valueInfo[0].metadataProps[0].value, '4');
    assert.equal(graph.quantizationAnnotation[0].quantParameterTensorNames[0].value, 's');
    const [alpha, axis, axes, mode, value] = graph.node[0].attribute;
    assert.equal(alpha.f, 1);
    assert.equal(axis.i, 2n);
    assert.deepEqual(axes.ints, [1n, 2n]);
    assert.equal(new TextDecoder().decode(mode.s), 'linear');
    assert.equal(value.t!.rawData.length, 4);
  });

  it('reads functions of the model, and their attributes that a node gives', () => {
    const bytes = writeModel(ownOperator());
    const [own] = readModel(bytes).functions;
    assert.deepEqual(
      [own.domain, own.name, own.input, own.output, own.attribute],
      ['own', 'Twice', ['a'], ['b'], ['to']],
    );
    assert.equal(own.opsetImport[0].version, 21n);
    const [cast] = own.node;
    assert.deepEqual([cast.attribute[0].name, cast.attribute[0].refAttrName], ['to', 'to']);
    assert.equal(cast.attribute[0].type, AttributeProto_AttributeType.INT);
  });

  it('checks the constants of functions, and counts their nodes before it decodes them', () => {
    const model = readModel(writeModel(ownOperator()));
    model.functions[0].node[1].attribute[0].t!.dims = [5n];
    assert.match(
      refusal(() => readModel(toBinary(ModelProtoSchema, model))).message,
      /20 bytes for attribute value/,
    );
    const many = readModel(writeModel(ownOperator()));
    many.functions[0].node = Array(1_000_001).fill(create(NodeProtoSchema));
    assert.match(refusal(() => readModel(toBinary(ModelProtoSchema, many))).message, /at most 1000000 nodes/);
    const empty = readModel(writeModel(ownOperator()));
    empty.functions = Array(1_000_001).fill(create(FunctionProtoSchema));
    assert.match(
      refusal(() => readModel(toBinary(ModelProtoSchema, empty))).message,
      /at most 1000000 nodes/,
    );
  });

  const NARROW = [
    { dtype: 'int2', since: 25, bytes: [0b11_10_01_00, 0b01], values: [0, 1, -2, -1, 1] },
    { dtype: 'uint2', since: 25, bytes: [0b11_10_01_00, 0b01], values: [0, 1, 2, 3, 1] },
    { dtype: 'int4', since: 21, bytes: [0x7f, 0x80, 0x05], values: [-1, 7, 0, -8, 5] },
    { dtype: 'uint4', since: 21, bytes: [0x7f, 0x80, 0x05], values: [15, 7, 0, 8, 5] },
  ];
  /** Dequantizes one constant, by a scale of 0.5 for all; `reader` reads it too. */
  const narrow = (dtype: string, opset: number, data: Uint8Array, reader: string | null = null) =>
    writeModel({
      irVersion: 13,
      opset,
      name: 'narrow',
      inputs: [{ name: 'x', dtype: 'float32', shape: [5] }],
      outputs: [{ name: 'y', dtype: 'float32', shape: [5] }],
      initializers: [
        { name: 'q', tensor: { dtype, shape: [5], data } },
        { name: 's', tensor: floats([], 0.5) },
      ],
      nodes: [
        node('DequantizeLinear', ['q', 's'], ['f']),
        node('Add', ['x', 'f'], ['y']),
        ...(reader ? [node(reader, reader === 'Identity' ? ['q'] : ['x', 's', 'q'], ['z'])] : []),
      ],
    });

  for (const { dtype, since, bytes, values } of NARROW)
    it(`reads ${dtype} as the numbers that it stands for`, () => {
      const file = narrow(dtype, since, Uint8Array.from(bytes));
      const { graph } = importGraph(file, { acceptQuantized: true, foldQuantized: true });
      const [folded] = [...graph.constants].filter(([, { shape }]) => shape.length === 1);
      assert.deepEqual(
        [...(folded[1].data as Float32Array)],
        values.map((value) => value / 2),
      );
      // Packed in int32_data, a byte in each.
      const other = readModel(file);
      other.graph!.initializer[0].rawData = new Uint8Array(0);
      other.graph!.initializer[0].int32Data = bytes;
      const again = importGraph(toBinary(ModelProtoSchema, other), {
        acceptQuantized: true,
        foldQuantized: true,
      });
      assert.deepEqual(again.graph.constants, graph.constants);
    });

  it('refuses tensors below a byte of another size, and readers that are no DequantizeLinear', () => {
    for (const { dtype, since, bytes } of NARROW) {
      const longer = Uint8Array.from([...bytes, 0]);
      assert.match(
        refusal(() => narrow(dtype, since, longer)).message,
        new RegExp(`${bytes.length} bytes of ${dtype} \\[5\\] for q but received ${longer.length}`),
      );
      const model = readModel(narrow(dtype, since, Uint8Array.from(bytes)));
      model.graph!.initializer[0].rawData = longer;
      assert.match(
        refusal(() => readModel(toBinary(ModelProtoSchema, model))).message,
        new RegExp(`${bytes.length} bytes for tensor "q" \\(${dtype} of shape \\[5\\]\\)`),
      );
      for (const reader of ['QuantizeLinear', 'Identity'])
        assert.match(
          refusal(() =>
            importGraph(narrow(dtype, since, Uint8Array.from(bytes), reader), { acceptQuantized: true }),
          ).message,
          new RegExp(`DequantizeLinear to read tensor "q", .* \\(${reader}\\)`),
        );
    }
  });

  it('refuses what is no model', () => {
    for (const bytes of [new Uint8Array(0), new Uint8Array(1000), new TextEncoder().encode('{"a": 1}')])
      assert.equal(refusal(() => readModel(bytes)).code, 'MALFORMED_MODEL');
    assert.match(refusal(() => readModel(plain, { largestFile: 10 })).message, /at most 10 bytes/);
  });

  it('refuses truncated files', () => {
    for (let length = 0; length < plain.length; length++)
      assert.equal(
        refusal(() => importGraph(plain.subarray(0, length))).code,
        'MALFORMED_MODEL',
        `${length} bytes`,
      );
  });

  it('survives damaged bytes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(plain.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        (changes) => {
          const bytes = plain.slice();
          for (const [at, value] of changes) bytes[at] = value;
          try {
            importGraph(bytes);
          } catch (error) {
            assert.ok(error instanceof SigmaQuantError, `${(error as Error).stack}`);
          }
        },
      ),
      { seed: 0, numRuns: 1500 },
    );
  });

  it('bounds every size', () => {
    const lengths = refusal(() =>
      readModel(
        altered((model) => {
          model.graph!.initializer[0].dims = [2n, 3n, 3n, 4n];
        }),
      ),
    );
    assert.equal(lengths.code, 'MALFORMED_MODEL');
    assert.match(
      lengths.message,
      /Expected 288 bytes for tensor "w" \(float of shape \[2, 3, 3, 4\]\) but received 216/,
    );
    for (const dims of [[-1n], [1n << 40n], [2n ** 31n, 2n ** 31n], new Array<bigint>(99).fill(1n)])
      assert.match(
        refusal(() =>
          readModel(
            altered((model) => {
              model.graph!.initializer[0].dims = dims;
            }),
          ),
        ).message,
        /tensor "w"/,
      );
    const type = refusal(() =>
      readModel(
        altered((model) => {
          model.graph!.initializer[0].dataType = 99;
        }),
      ),
    );
    assert.match(type.message, /data type of ONNX for tensor "w" but received 99/);
  });

  it('counts nodes before it decodes them', () => {
    const [fieldOfNode, empty] = [0x0a, 0];
    const count = 1_000_001;
    const graph = new Uint8Array(2 * count).map((_, i) => (i % 2 === 0 ? fieldOfNode : empty));
    const length = graph.length;
    const header = [
      0x3a,
      (length & 127) | 128,
      ((length >> 7) & 127) | 128,
      ((length >> 14) & 127) | 128,
      length >> 21,
    ];
    const bytes = new Uint8Array([...header]);
    const whole = new Uint8Array(bytes.length + length);
    whole.set(bytes);
    whole.set(graph, bytes.length);
    assert.match(refusal(() => readModel(whole)).message, /at most 1000000 nodes but received 1000001/);
  });

  it('refuses deep nesting', () => {
    let inner = create(GraphProtoSchema, { name: 'leaf' });
    for (let depth = 0; depth < 200; depth++)
      inner = create(GraphProtoSchema, { node: [{ opType: 'If', attribute: [{ name: 'then', g: inner }] }] });
    const bytes = altered((model) => {
      model.graph = inner;
    });
    assert.equal(refusal(() => readModel(bytes)).code, 'MALFORMED_MODEL');
  });

  it('refuses data in other files', () => {
    const error = refusal(() =>
      readModel(
        altered((model) => {
          model.graph!.initializer[0].dataLocation = TensorProto_DataLocation.EXTERNAL;
        }),
      ),
    );
    assert.equal(error.code, 'UNSUPPORTED_MODEL');
    assert.match(error.message, /tensor "w".*one file/);
  });
});
