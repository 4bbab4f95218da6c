// A place between two rows of a table, as text: it stands in the link from one page to the next. The values of the key
// themselves, so that a row that is deleted meanwhile is no place lost.
import { Problem } from '../problem.ts';

/** Of a place, percent-encoded: a request has 16 KiB for its line and all of its headers. */
const MAX_LENGTH = 12_000;

/**
 * The rows of a page, and where to go on. Where more follow, it ends at a row whose key fits into a link, and those
 * behind that one come with the next page.
 * @throws {Problem} 400 if there is no such row
 */
export function endPage<Row>(found: Row[], hasMore: boolean, placeOf: (row: Row) => string) {
  const isFit = (row: Row) => !hasMore || encodeURIComponent(placeOf(row)).length <= MAX_LENGTH;
  const rows = found.slice(0, found.findLastIndex(isFit) + 1);
  if (hasMore && rows.length === 0)
    throw new Problem(
      400,
      'The keys of these rows are too long for a link to the next page: ask for a larger limit, or read the rows one by one.',
    );
  const last = rows.at(-1);
  return { rows, hasMore, last: last && placeOf(last) };
}

/** The values of a place, of so many columns. It comes from a URL, so it may be anything. @throws {Problem} 400 */
export function parsePlace<Value>(place: string, columns: number, parse: (part: string) => Value): Value[] {
  try {
    const parts = JSON.parse(place) as unknown;
    if (Array.isArray(parts) && parts.length === columns) return parts.map(String).map(parse);
  } catch {
    // No JSON, or no value: said below.
  }
  throw new Problem(400, 'after must be the value that the answer before gave in next.');
}
