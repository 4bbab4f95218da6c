// Rows in steps, since one may have 1 MiB: of what is large a few are all that is wanted, and what is read beyond that
// keeps the event loop for nothing.
const LEAST_STEP = 8;
const MOST_STEP = 64;

/**
 * Rows in their order: as many as fit into `maxBytes`, but at least one, else a reader would never get past it. Steps are
 * short only where the rows before were large: without an index for the order, each one sorts anew.
 * @param read at most so many rows, behind those that were read
 * @returns `isCut`: there is one more, for which no room was left
 */
export function readSteps<Row>(
  limit: number,
  maxBytes: number,
  read: (many: number, before: Row[]) => Row[],
  bytesOf: (row: Row) => number,
): { rows: Row[]; isCut: boolean } {
  const rows: Row[] = [];
  let [room, largest] = [maxBytes, maxBytes / LEAST_STEP];
  while (rows.length < limit) {
    const fitting = Math.max(LEAST_STEP, Math.floor(room / largest));
    const many = Math.min(fitting, MOST_STEP, limit - rows.length);
    const step = read(many, rows);
    largest = 1;
    for (const row of step) {
      const bytes = bytesOf(row);
      room -= bytes;
      if (room < 0 && rows.length > 0) return { rows, isCut: true };
      largest = Math.max(largest, bytes);
      rows.push(row);
    }
    if (step.length < many) break; // the end of what there is
  }
  return { rows, isCut: false };
}
