import { refuse } from '../errors.ts';

/** Parsers of flag values. Each throws INVALID_ARGUMENT with the sentence that names the flag. */

export function integer(name: string): (text: string) => number {
  return (text) => {
    if (!/^[+-]?\d+$/.test(text)) refuse('a whole number', name, text);
    return Number(text);
  };
}

export function number(name: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value)) refuse('a number', name, text);
    return value;
  };
}

/** `2,3,4,8` or the range `2-8`. */
export function list(name: string): (text: string) => number[] {
  return (text) =>
    text.split(',').flatMap((part) => {
      const range = /^\s*(\d+)\s*(?:-|\.\.)\s*(\d+)\s*$/.exec(part);
      if (!range) return [integer(name)(part.trim())];
      const [low, high] = [Number(range[1]), Number(range[2])];
      if (low > high || high - low > 64) refuse('a range that rises', name, text);
      return Array.from({ length: high - low + 1 }, (_, index) => low + index);
    });
}

/** `native,wasm` */
export function names(text: string): string[] {
  return text.split(',').map((part) => part.trim());
}

/** `NAME=1x3x224x224` */
export function shape(text: string): [string, number[]] {
  const match = /^(.+)=(\d+(?:x\d+)*)$/.exec(text);
  const dimensions = match?.[2].split('x').map(Number) ?? [];
  if (!match || dimensions.some((size) => size < 1 || !Number.isSafeInteger(size)))
    refuse('NAME=1x3x224x224', 'input-shape', text);
  return [match[1], dimensions];
}

/** `LAYER=2,3` */
export function layerWidths(text: string): [string, number[]] {
  const match = /^(.+)=([\d,.\s-]+)$/.exec(text);
  if (!match) refuse('LAYER=LIST', 'ban', text);
  return [match[1], list('ban')(match[2])];
}

/** `add`, `concat` or `a,b,c` */
export function group(text: string): 'add' | 'concat' | string[] {
  if (text === 'add' || text === 'concat') return text;
  const members = names(text).filter((name) => name !== '');
  if (members.length < 2) refuse('add, concat or at least two layers', 'group', text);
  return members;
}

/** `LAYER=BITS` */
export function layerWidth(text: string): [string, number] {
  const match = /^(.+)=(\d+)$/.exec(text);
  if (!match) refuse('LAYER=BITS', 'pin', text);
  return [match[1], Number(match[2])];
}
