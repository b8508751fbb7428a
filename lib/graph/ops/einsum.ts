import type { Node } from '../graph.ts';
import { fromNumbers, numbers, sizeOf } from '../tensors.ts';
import { offsets, stridesOf } from './indexing.ts';
import { misfit, need, type Operator, sameTypes, text } from './operator.ts';

/** One letter per axis of every operand and of the result; axes of an ellipsis count from the last: `.0`, `.1` ... */
interface Equation {
  operands: string[][];
  result: string[];
}

/** Of one sum; above it the table of its offsets would take gigabytes. */
const MOST_TERMS = 2 ** 28;
const TERM = /^[A-Za-z]*(\.\.\.[A-Za-z]*)?$/;

/** The letters of one term for an operand of that rank; an ellipsis stands for the axes that have none. */
function letters(node: Node, term: string, rank: number): string[] {
  if (!TERM.test(term)) misfit(node, 'an equation of letters and ellipses', text(node, 'equation', ''));
  const [before, after] = term.split('...');
  if (after === undefined) return [...before];
  const open = rank - before.length - after.length;
  const axes = Array.from({ length: Math.max(0, open) }, (_, i) => `.${open - 1 - i}`);
  return [...before, ...axes, ...after];
}

function equationOf(node: Node, shapes: readonly (readonly number[])[]): Equation {
  const [left, right] = text(node, 'equation', '').replaceAll(' ', '').split('->');
  const terms = left.split(',');
  if (terms.length !== shapes.length)
    misfit(node, `a term for each of ${shapes.length} inputs`, text(node, 'equation', ''));
  const operands = terms.map((term, i) => letters(node, term, shapes[i].length));
  operands.forEach((axes, i) => {
    if (axes.length !== shapes[i].length)
      misfit(node, `${axes.length} dimensions for input ${i}`, `[${shapes[i].join(', ')}]`);
  });
  const all = operands.flat();
  const ellipsis = [...new Set(all.filter((axis) => axis.startsWith('.')))].sort().reverse();
  if (right !== undefined) {
    const result = letters(node, right, ellipsis.length + right.replace('...', '').length);
    const unknown = result.find((axis) => !all.includes(axis));
    if (unknown !== undefined) misfit(node, `axis ${unknown} among the inputs`, left);
    return { operands, result };
  }
  // Without an arrow: what an ellipsis stands for, then the letters that appear once, in alphabetical order.
  const once = all.filter((axis) => !axis.startsWith('.') && all.indexOf(axis) === all.lastIndexOf(axis));
  return { operands, result: [...ellipsis, ...once.sort()] };
}

/** Length of every axis; a length of 1 repeats. */
function lengthsOf(
  node: Node,
  { operands }: Equation,
  shapes: readonly (readonly number[])[],
): Map<string, number> {
  const lengths = new Map<string, number>();
  operands.forEach((axes, operand) => {
    axes.forEach((axis, i) => {
      const [known, length] = [lengths.get(axis) ?? 1, shapes[operand][i]];
      if (known !== 1 && length !== 1 && known !== length)
        misfit(
          node,
          `length ${known} for axis ${axis}`,
          `[${shapes[operand].join(', ')}] for input ${operand}`,
        );
      lengths.set(axis, known === 1 ? length : known);
    });
  });
  return lengths;
}

/** Stride of each of `wanted` in an operand: a letter that it has twice walks its diagonal. */
function stridesFor(wanted: readonly string[], axes: readonly string[], shape: readonly number[]): number[] {
  const own = stridesOf(shape);
  return wanted.map((axis) =>
    axes.reduce((sum, other, i) => sum + (other === axis && shape[i] !== 1 ? own[i] : 0), 0),
  );
}

/** Sums, in float64, the products of its operands over all letters that the result does not have. */
export const einsum: Operator = {
  layout: 'fixed',
  infer(node, inputs) {
    sameTypes(node, inputs);
    const shapes = inputs.map((_, i) => need(node, inputs, i).shape);
    const equation = equationOf(node, shapes);
    const lengths = lengthsOf(node, equation, shapes);
    return [{ dtype: need(node, inputs, 0).dtype, shape: equation.result.map((axis) => lengths.get(axis)!) }];
  },
  evaluate(node, inputs) {
    const tensors = inputs.map((_, i) => need(node, inputs, i));
    const shapes = tensors.map(({ shape }) => shape);
    const equation = equationOf(node, shapes);
    const lengths = lengthsOf(node, equation, shapes);
    const summed = [...lengths.keys()].filter((axis) => !equation.result.includes(axis));
    const sizes = (axes: readonly string[]) => axes.map((axis) => lengths.get(axis)!);
    const terms = sizeOf(sizes(summed));
    if (terms > MOST_TERMS) misfit(node, `sums of at most ${MOST_TERMS} terms`, `one of ${terms}`);
    const factors = tensors.map((tensor, i) => {
      const [axes, shape] = [equation.operands[i], shapes[i]];
      const walk = (wanted: readonly string[]) => offsets(sizes(wanted), stridesFor(wanted, axes, shape));
      return { x: numbers(tensor), starts: walk(equation.result), steps: walk(summed) };
    });
    const shape = sizes(equation.result);
    const out = new Float64Array(sizeOf(shape));
    for (let i = 0; i < out.length; i++)
      for (let term = 0; term < terms; term++) {
        let product = 1;
        for (const { x, starts, steps } of factors) product *= x[starts[i] + steps[term]];
        out[i] += product;
      }
    return [fromNumbers(tensors[0].dtype, shape, out)];
  },
};
