import { Shape } from './shape';

/**
 * A convolution as units of work: one block of neighbouring outputs (whole rows, or a part of one row) and a range of
 * panels of output channels. A thread does a contiguous share of them; which share changes no result.
 */

/** Where there are fewer blocks than this per thread, their panels are shared out too. */
const UNITS_PER_THREAD: i32 = 4;

/** Outputs of a full block. */
export let blockRows: i32 = 0;
export let blockColumns: i32 = 0;
let across: i32 = 0;
let down: i32 = 0;
let panels: i32 = 0;
let parts: i32 = 0;
let unit: i64 = 0;
let end: i64 = 0;
let current: i64 = -1;

/** The unit that `nextUnit` came to. */
export let image: i32 = 0;
export let row: i32 = 0;
export let column: i32 = 0;
export let rows: i32 = 0;
export let columns: i32 = 0;
/** Index of its first output among those of the batch. */
export let firstPixel: usize = 0;
export let firstPanel: i32 = 0;
export let endPanel: i32 = 0;
/** Whether its outputs are others than those of the unit before. */
export let newBlock: bool = false;

export function shareWork(s: Shape, ofRows: i32, ofColumns: i32, ofPanels: i32, thread: i32, threads: i32): void {
  blockRows = ofRows;
  blockColumns = ofColumns;
  panels = ofPanels;
  across = (s.outWidth + ofColumns - 1) / ofColumns;
  down = (s.outHeight + ofRows - 1) / ofRows;
  const blocks = <i64>s.batch * down * across;
  parts = threads == 1 ? 1 : <i32>min<i64>(ofPanels, (UNITS_PER_THREAD * threads + blocks - 1) / blocks);
  unit = (blocks * parts * thread) / threads;
  end = (blocks * parts * (thread + 1)) / threads;
  current = -1;
}

export function nextUnit(s: Shape): bool {
  if (unit == end) return false;
  const block = unit / parts;
  const part = <i32>(unit % parts);
  const blockRow = <i32>(block / across);
  newBlock = block != current;
  current = block;
  image = blockRow / down;
  row = (blockRow % down) * blockRows;
  column = <i32>(block % across) * blockColumns;
  rows = min(blockRows, s.outHeight - row);
  columns = min(blockColumns, s.outWidth - column);
  firstPixel = (<usize>image * s.outHeight + row) * s.outWidth + column;
  firstPanel = <i32>((<i64>panels * part) / parts);
  endPanel = <i32>((<i64>panels * (part + 1)) / parts);
  unit++;
  return true;
}
