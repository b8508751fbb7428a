/** Pictures that look like scanned text, for networks that read it: dark strokes on a light page, values -1 to 1. */

const INK = -0.9;
const PAPER = 0.9;
/** Of the page's grain. */
const GRAIN = 0.08;

/** A seeded stream of numbers in [0, 1): the same on every machine. */
function stream(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** x [count][3][height][width]; every picture has lines of words of its own. */
export function pages(count: number, height: number, width: number, seed: number): Float32Array {
  const next = stream(seed);
  const area = height * width;
  const x = new Float32Array(count * 3 * area);
  for (let page = 0; page < count; page++) {
    const ink = new Uint8Array(area);
    const line = Math.min(height, 16 + Math.floor(next() * 24));
    for (let top = 0; top + line <= height; top += Math.floor(line * 1.4))
      writeLine(ink, width, top, line, next);
    for (let channel = 0; channel < 3; channel++)
      for (let i = 0; i < area; i++)
        x[(page * 3 + channel) * area + i] = (ink[i] ? INK : PAPER) + GRAIN * (next() - 0.5);
  }
  return x;
}

/** Letters of two or three strokes, words of a few letters. */
function writeLine(ink: Uint8Array, width: number, top: number, line: number, next: () => number): void {
  const letter = Math.max(4, Math.floor(line / 2));
  const stroke = Math.max(1, Math.floor(line / 10));
  for (let left = stroke; left + letter < width; left += letter + stroke) {
    if (next() < 0.18) continue;
    const [high, low] = [top + Math.floor(line * 0.15), top + Math.floor(line * 0.85)];
    if (next() < 0.8) fill(ink, width, left, high, stroke, low - high);
    if (next() < 0.5) fill(ink, width, left + letter - 2 * stroke, high, stroke, low - high);
    for (const at of [high, Math.floor((high + low) / 2), low - stroke])
      if (next() < 0.5) fill(ink, width, left, at, letter - stroke, stroke);
  }
}

function fill(ink: Uint8Array, width: number, left: number, top: number, wide: number, high: number): void {
  for (let y = top; y < top + high; y++) ink.fill(1, y * width + left, y * width + left + wide);
}
