import type { FloatSlot } from '../../engine/storage.ts';
import type { TapeBuilder } from '../tape.ts';

/** The gradient stops where the fused activation was at a limit; in place. */
export function maskClamp(tape: TapeBuilder, y: FloatSlot, g: FloatSlot, low: number, high: number): void {
  if (low === Number.NEGATIVE_INFINITY && high === Number.POSITIVE_INFINITY) return;
  tape.emitElements([y, g], () => tape.kernels.clampGradient(y.data, g.data, low, high, g.data));
}
