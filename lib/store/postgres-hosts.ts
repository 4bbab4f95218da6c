// The hosts of a URL, of which one takes writes; which one, can change at any time. `pg` knows one host alone: so of
// `postgres://u@a,b:5433/db` come `…@a/db` and `…@b:5433/db`.

/** Where connections lead to: all of one URL turn to the next host together. */
export class Hosts {
  private readonly urls: string[];
  /** Index of the one that is tried first, for all connections together. */
  private at = 0;

  constructor(url: string) {
    const [, before, hosts = '', after] = /^(\w+:\/\/(?:[^@/?#]*@)?)([^/?#]*)(.*)$/.exec(url) ?? [];
    this.urls = hosts.split(',').map((host) => `${before}${host}${after}`);
  }

  /** A URL that names one host. */
  get current(): string {
    return this.urls[this.at]!;
  }

  /** Tries the hosts, each once, until one will do. @throws what the last of them said */
  async attempt<T>(work: (url: string) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      const url = this.current;
      try {
        return await work(url);
      } catch (error) {
        // If somebody else turned away from it meanwhile, that is enough.
        if (url === this.current) this.at = (this.at + 1) % this.urls.length;
        if (tries >= this.urls.length) throw error;
      }
    }
  }
}
