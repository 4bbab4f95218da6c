// A DATABASE_URL may name several hosts, of which one takes writes; which one, can change at any time. `pg` knows one
// host alone, so here is the small loop over them: whoever can't connect, or ends on a standby, turns to the next. A
// READ_DATABASE_URL may do so as well: there any of them will do.

/** The same URL once for each of its hosts: `postgres://u@a,b:5433/db` is `…@a/db` and `…@b:5433/db`. */
export function urlsOf(url: string): string[] {
  const [, before = url, hosts, after = ''] =
    /^(\w+:\/\/(?:[^@/?#]*@)?)([^/?#]*,[^/?#]*)(.*)$/.exec(url) ?? [];
  if (hosts === undefined) return [url];
  return hosts.split(',').map((host) => `${before}${host}${withoutTarget(after)}`);
}

/** Which server will do, each new connection asks by itself (`Postgres.prepare`). */
function withoutTarget(rest: string): string {
  return rest.replace(/([?&])target_session_attrs=[^&]*&?/, '$1').replace(/[?&]$/, '');
}

/** Which of them is tried next, for all connections together: one that found out that a host is lost tells the others. */
export class Hosts {
  private readonly urls: string[];
  /** Index of the current one. */
  private at = 0;

  constructor(url: string) {
    this.urls = urlsOf(url);
  }

  /** So many tries, and each had its turn. */
  get count(): number {
    return this.urls.length;
  }

  /** A URL that names one host. */
  get current(): string {
    return this.urls[this.at]!;
  }

  /** This one can't be reached, or takes no writes. If somebody else turned away from it meanwhile, that is enough. */
  turnFrom(url: string): void {
    if (url === this.current) this.at = (this.at + 1) % this.urls.length;
  }
}
