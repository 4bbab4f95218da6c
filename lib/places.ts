// Places for work that few may do at the same time. The others wait in line: who came first has the next one that is free.

import { unavailable } from './problem.ts';

export class Places {
  private free: number;
  private readonly line = new Set<() => void>();

  constructor(many: number) {
    this.free = many;
  }

  /**
   * Does the work once there is a place for it.
   * @param patience milliseconds in the line
   * @throws what the work throws; {Problem} 503 if there was no place
   */
  async use<T>(work: () => Promise<T>, patience: number): Promise<T> {
    if (this.free > 0) this.free -= 1;
    else await this.wait(patience);
    try {
      return await work();
    } finally {
      this.leave();
    }
  }

  private wait(patience: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const begin = () => {
        clearTimeout(timer);
        resolve();
      };
      const giveUp = () => {
        this.line.delete(begin);
        reject(unavailable('Too many wait for this already.'));
      };
      const timer = setTimeout(giveUp, patience);
      this.line.add(begin);
    });
  }

  private leave(): void {
    const [next] = this.line;
    if (!next) this.free += 1;
    else if (this.line.delete(next)) next();
  }
}
