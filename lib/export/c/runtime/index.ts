import { ELEMENTWISE } from './elementwise.ts';
import { NUMBERS } from './numbers.ts';
import type { Piece } from './piece.ts';
import { PRODUCTS } from './products.ts';
import { WINDOWS } from './windows.ts';

const PIECES = { ...NUMBERS, ...PRODUCTS, ...WINDOWS, ...ELEMENTWISE };

/** A function of the generated C. */
export type PieceName = keyof typeof PIECES;

/** The text of these functions and of all that they call, each behind what it calls. */
export function runtimeText(names: Iterable<PieceName>): string {
  const texts = new Set<string>();
  const visit = (name: PieceName): void => {
    const { needs, text }: Piece = PIECES[name];
    for (const needed of needs) visit(needed as PieceName);
    texts.add(text);
  };
  for (const name of names) visit(name);
  return [...texts].join('\n\n');
}
