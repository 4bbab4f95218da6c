/** What many ask for at once is made once for all of them; who asks when it is there has it made anew. */
export class Shared<T> {
  private readonly underWay = new Map<string, Promise<T>>();

  /** @param key equal for those who want the same */
  get(key: string, make: () => Promise<T>): Promise<T> {
    const known = this.underWay.get(key);
    if (known) return known;
    const made = make().finally(() => this.underWay.delete(key));
    this.underWay.set(key, made);
    return made;
  }
}
