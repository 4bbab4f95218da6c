// What came of the log's positions, and what never did. Whatever the page says of it ("13 replayed, 0
// lost") is computed here, from ids.

export const WINDOW = 60;

export function createLedger() {
  const fates = /** @type {Map<number, Fate>} */ (new Map()); // of the last positions only
  const ledger = {
    start: 0, // what lies before is not ours to judge
    head: 0, // the newest position that we know of
    live: 0,
    replayed: 0,

    /** At the first frame, or where the log moved on without us. @param {number} seq */
    restart(seq) {
      fates.clear();
      Object.assign(ledger, { start: seq, head: seq, live: 0, replayed: 0 });
    },

    /** The stream stands here: what did not come by now is missing. @param {number} seq */
    reach(seq) {
      ledger.head = Math.max(ledger.head, seq);
    },

    /** @param {number} seq @param {'live' | 'replayed'} fate */
    record(seq, fate) {
      ledger.reach(seq);
      ledger[fate] += 1;
      fates.set(seq, fate);
      fates.delete(seq - WINDOW);
    },

    missing: () => ledger.head - ledger.start - ledger.live - ledger.replayed,

    /** @param {number} seq @returns {Fate} */
    fateOf: (seq) => (seq <= ledger.start ? 'before' : (fates.get(seq) ?? 'missing')),

    /** Returns a function that tells what happened since. */
    note() {
      const [replayed, missing] = [ledger.replayed, ledger.missing()];
      return () => ({ replayed: ledger.replayed - replayed, lost: ledger.missing() - missing });
    },
  };
  return ledger;
}
