// What both engines do with commits: count their own, tell the hub of everyone's, and know how far the hub has
// come, since retention must not take an event that nobody was told of.

/** The seq up to which retention may take events: those below what is kept, and none that was not announced. */
export function pruneTo(head: number, retention: number, announced: number): number {
  return Math.min(head - retention, announced);
}

export class Commits {
  /** Transactions committed by this server since it started. */
  count = 0;
  /** Events up to here were announced: retention may take these, and none above. */
  announced = 0;
  private readonly listeners: (() => void)[] = [];

  onCommit(listener: () => void): void {
    this.listeners.push(listener);
  }

  /** After a commit of ours. The answers leave first, then the fan-out begins: else writers wait for the last client. */
  committed(): void {
    this.count += 1;
    setImmediate(() => this.wake());
  }

  /** After anybody's commit. It says nothing of what was committed, so one call too many costs a look and no more. */
  wake(): void {
    for (const listener of this.listeners) listener();
  }

  markAnnounced(seq: number): void {
    this.announced = seq;
  }
}
