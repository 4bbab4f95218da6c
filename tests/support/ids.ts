// An id proves itself by its stamp, so a test can't make up the id of another event: it looks it up in the database.
import { openDatabase } from '../../lib/store/sqlite.ts';

/** The id of the event at this place, or of the newest that is no longer kept. */
export function idAt(file: string, seq: number): string {
  const db = openDatabase(file, { timeout: 5000, readonly: true });
  const stamp = db
    .prepare<[number, number], string>(
      `SELECT stamp FROM changebell_events WHERE seq = ?
       UNION ALL SELECT pruned_stamp FROM changebell_log WHERE pruned = ?`,
    )
    .pluck()
    .get(seq, seq);
  db.close();
  if (stamp === undefined) throw new Error(`the log has nothing at ${seq}`);
  return `${stamp}-${seq}`;
}
