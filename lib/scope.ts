// What somebody may read and write. Who has the API token may do everything; a JWT says in its claim `changebell` what
// its bearer may, and what is missing there is not allowed. What a reader may not see never reaches it: its scope is
// part of its filter, so that one place decides for streams, pages of the log and counts alike.
import { type Filter, type Seen, tableOfReset } from './filter.ts';
import { Problem } from './problem.ts';

export class Scope {
  /** Equal for equal scopes, so that their clients share frames. */
  readonly key: string;
  /** May it write customers? Only a `true` says so: `"false"` as a text must open nothing. */
  private readonly mayWrite: boolean;
  /** When it ends, in milliseconds since 1970; undefined for a token that has no end. */
  readonly expiresAt: number | undefined;
  private readonly types: readonly string[];
  private readonly sources: readonly string[];
  private readonly publishes: readonly string[];

  /** @param claim `{subscribe, sources, publish, write}`; lists of values, or of prefixes that end with `*` */
  constructor(claim: Record<string, unknown>, expiresAt?: number) {
    this.types = texts(claim.subscribe);
    this.sources = claim.sources === undefined ? ['*'] : texts(claim.sources);
    this.publishes = texts(claim.publish);
    this.mayWrite = claim.write === true;
    this.expiresAt = expiresAt;
    this.key = JSON.stringify([this.types, this.sources]);
  }

  /** Does it see all events? */
  get seesAll(): boolean {
    return this.types.includes('*') && this.sources.includes('*');
  }

  /** May it see this event? Both lists must let it through; a missing list of sources is all of them. */
  maySee(event: Seen): boolean {
    // Who may see each change of a row holds a copy of it, and must hear that it is one no longer.
    const table = tableOfReset(event);
    const isWithin = (source: string) => table !== undefined && source.startsWith(table);
    if (!covers(this.sources, event.source) && !this.sources.some(isWithin)) return false;
    return (
      covers(this.types, event.type) || (table !== undefined && this.seesChanges(event.type.slice(0, -6)))
    );
  }

  /** The same filter, without what it may not see. */
  narrow(filter: Filter): Filter {
    if (this.seesAll) return filter;
    const key = `${filter.key} ${this.key}`;
    return { key, matches: (event) => this.maySee(event) && filter.matches(event) };
  }

  /** A snapshot tells what the events of its rows tell. @throws {Problem} 403 unless it may see all of them */
  checkRead(type: string, source: string): void {
    if (!this.seesChanges(type) || !covers(this.sources, source))
      throw forbidden(`read ${type} at ${source}`);
  }

  /** What tells of other clients' positions tells of events that they were sent. @throws {Problem} 403 */
  checkReadAll(what: string): void {
    if (!this.seesAll) throw forbidden(`read ${what}`);
  }

  /** @throws {Problem} 403 */
  checkWrite(): void {
    if (!this.mayWrite) throw forbidden('write customers');
  }

  /** @throws {Problem} 403 naming the first type that it may not publish */
  checkPublish(types: Iterable<string>): void {
    for (const type of types) if (!covers(this.publishes, type)) throw forbidden(`publish ${type}`);
  }

  private seesChanges(type: string): boolean {
    return ['created', 'updated', 'deleted'].every((change) => covers(this.types, `${type}.${change}`));
  }
}

/** Of the API token, and of everyone where none is wanted. */
export const EVERYTHING = new Scope({ subscribe: ['*'], publish: ['*'], write: true });

/** `orders.*` covers `orders.created`, `/rooms/*` also the prefix `/rooms/42/*`, and `*` everything. */
function covers(patterns: readonly string[], value: string): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith('*') ? value.startsWith(pattern.slice(0, -1)) : pattern === value,
  );
}

/** What is no list of texts allows nothing. A star counts at the end, behind a dot or a slash, or alone. */
function texts(value: unknown): string[] {
  if (!Array.isArray(value)) return [];
  return value.filter(
    (item): item is string => typeof item === 'string' && /^[^*]*$|^\*$|^[^*]*[./]\*$/.test(item),
  );
}

/** RFC 6750 §3.1, insufficient_scope. */
function forbidden(what: string): Problem {
  const headers = { 'WWW-Authenticate': 'Bearer realm="changebell", error="insufficient_scope"' };
  return new Problem(403, `This token may not ${what}.`, { headers });
}
