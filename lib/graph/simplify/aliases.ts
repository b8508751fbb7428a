import type { Draft } from '../draft.ts';
import type { Node } from '../graph.ts';
import { numbers } from '../tensors.ts';

/** Removes nodes whose output is their input: Identity, and Dropout of an inference. Outputs keep their names. */
export function dropAliases(draft: Draft): void {
  const uses = draft.uses();
  const producers = draft.producers();
  const names = new Map<string, string>();
  const renamed = new Map<string, string>();
  const current = (name: string): string => {
    const source = names.get(name);
    return source === undefined ? name : current(source);
  };
  draft.nodes = draft.nodes.filter((node) => {
    if (!isAlias(draft, node, uses)) return true;
    const [output] = node.outputs;
    const source = current(node.inputs[0]);
    if (!draft.isOutput(output)) {
      names.set(output, source);
      return false;
    }
    // An output keeps its name, so its maker takes it, if the maker's value is free to change.
    if (!producers.has(source) || draft.isOutput(source) || renamed.has(source)) return true;
    renamed.set(source, output);
    return false;
  });
  const final = (name: string) => {
    const source = current(name);
    return renamed.get(source) ?? source;
  };
  draft.nodes = draft.nodes.map((node) => ({
    ...node,
    inputs: node.inputs.map(final),
    outputs: node.outputs.map((name) => renamed.get(name) ?? name),
  }));
}

function isAlias(draft: Draft, node: Node, uses: ReadonlyMap<string, number>): boolean {
  if (node.op === 'Identity') return true;
  if (node.op !== 'Dropout') return false;
  const training = draft.constants.get(node.inputs[2] ?? '');
  const maskUsed = node.outputs[1] && (uses.has(node.outputs[1]) || draft.isOutput(node.outputs[1]));
  return !maskUsed && (!node.inputs[2] || (training !== undefined && numbers(training)[0] === 0));
}
