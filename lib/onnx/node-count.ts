/** Fields of ModelProto that hold nodes, and the field of the nodes in them. */
const [GRAPH, FUNCTIONS] = [7, 25];
const HOLDERS: ReadonlyMap<number, number> = new Map([
  [GRAPH, 1],
  [FUNCTIONS, 7],
]);

/**
 * Nodes of the outermost graph and of functions, and these themselves, counted on the wire before anything is decoded
 * (an empty one costs two bytes in the file and a hundred times that in memory). Null where the bytes are not protobuf;
 * decoding says why.
 */
export function countNodes(bytes: Uint8Array): number | null {
  let nodes = 0;
  const whole = eachField(bytes, 0, bytes.length, (field, start, end) => {
    const node = HOLDERS.get(field);
    if (node === undefined) return true;
    if (field !== GRAPH) nodes++;
    return eachField(bytes, start, end, (inner) => {
      if (inner === node) nodes++;
      return true;
    });
  });
  return whole ? nodes : null;
}

/** Calls back for every length-delimited field between two offsets; false where the bytes are malformed. */
function eachField(
  bytes: Uint8Array,
  from: number,
  to: number,
  visit: (field: number, start: number, end: number) => boolean,
): boolean {
  let at = from;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70 && at < to; shift += 7) {
      const byte = bytes[at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    return Number.NaN;
  };
  while (at < to) {
    const tag = varint();
    const wire = tag % 8;
    if (wire === 0) {
      if (Number.isNaN(varint())) return false;
    } else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else if (wire === 2) {
      const length = varint();
      if (!(at + length <= to)) return false;
      if (!visit(Math.floor(tag / 8), at, at + length)) return false;
      at += length;
    } else return false;
  }
  return at === to;
}
