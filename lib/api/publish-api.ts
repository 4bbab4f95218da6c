// `POST /api/events`: how any other program notifies the clients. It takes events in our own short form, one or a list,
// and CloudEvents in the three modes of their HTTP binding (CloudEvents HTTP 1.0.2 §3). A list is one transaction.
// Whatever the form, what comes of it is the same: `NewEvent`s, which one order puts into the log.
import { parseCloudEvent } from '../cloud-event.ts';
import { type Call, mediaTypeOf, readJson } from '../http/request.ts';
import { sendJson } from '../http/response.ts';
import { readIdempotency } from '../idempotency.ts';
import { type IsReserved, parseEvents, parseNewEvent } from '../new-event.ts';
import { Problem } from '../problem.ts';
import type { Store } from '../store/store.ts';
import { describeWatched } from '../store/watch.ts';
import { write } from './resource-api.ts';

// More than other bodies may have: the data of one event may be as long, and a list is many events.
const MAX_BYTES = 1024 * 1024;
// The three modes are told apart by the media type, and binary mode by its headers (§3.1 to §3.3).
const STRUCTURED = 'application/cloudevents+json';
const BATCH = 'application/cloudevents-batch+json';
// One of these is enough to mean binary mode: who forgot another is told which, instead of being misread.
const REQUIRED = ['ce-specversion', 'ce-id', 'ce-source', 'ce-type'];

/**
 * 201 with the stored event, or with the list of them. Nothing of a list is stored where one item of it is wrong.
 * @param isReserved types that triggers write, and nobody can publish: see `reservedTypes`
 * @throws {Problem} 400 malformed, 403 a type that the token may not publish, 413, 415, 422 with every bad field, 503
 */
export async function publish(call: Call, store: Store, isReserved: IsReserved): Promise<void> {
  const { events, isList, idempotency } = await readPublished(call, isReserved);
  // The scope is asked last: it knows types, and what is malformed has none that could be trusted.
  call.scope.checkPublish(events.map(({ type }) => type));
  // Resolves when the events are on disk. Nobody is told from here: the hub reads them from the log.
  sendJson(call.res, 201, await write(call, store, { op: 'publish', events, isList, idempotency }));
}

/**
 * `customer.created` and its like, and the same of every watched table: a row must have changed for one of these. Were
 * they open to all, a copy of a table could be told of rows that never were.
 * @param watch the tables whose triggers write events of their own
 */
export function reservedTypes(watch: Iterable<string>): IsReserved {
  const tables = ['customer', ...describeWatched(watch).map(({ type }) => type)];
  const changes = ['created', 'updated', 'deleted', 'reset'];
  const types = new Set(tables.flatMap((table) => changes.map((change) => `${table}.${change}`)));
  return (type) => types.has(type);
}

/** What a request says, in whatever form it says it. */
async function readPublished(call: Call, isReserved: IsReserved) {
  const type = mediaTypeOf(call.req);
  const isInBody = type === STRUCTURED || type === BATCH;
  const attributes = isInBody ? undefined : binaryAttributes(call);
  // In binary mode the body may be of any type of JSON, since the type is the publisher's own. Our own form is plain JSON.
  const isOwnType = isInBody || (attributes && type.endsWith('+json'));
  const mediaTypes = [isOwnType ? type : 'application/json'];
  const isEmpty = attributes && hasNoBody(call);
  const body = isEmpty ? undefined : await readJson(call, { mediaTypes, maxBytes: MAX_BYTES });
  // Before the items are looked at: a list in the wrong mode would be a list of errors about its items.
  if (isInBody) checkShape(body?.value, type === BATCH);
  // Headers are made an object as structured mode would have it, so that one parser judges both.
  const value = attributes ? { ...attributes, data: body?.value } : body?.value;
  const parseOne = isInBody || attributes ? parseCloudEvent : parseNewEvent;
  // In binary mode half of the event is in its headers: the same body under other headers is another request.
  const inHeaders = attributes && JSON.stringify(attributes);
  return {
    events: parseEvents(value, parseOne, isReserved),
    isList: Array.isArray(value),
    idempotency: readIdempotency(call.req, call.path, body?.text ?? '', inHeaders),
  };
}

/** A body that comes in chunks may be empty too, but that is known only when it has been read. */
function hasNoBody({ req: { headers } }: Call): boolean {
  return headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;
}

/** A quoted string without its quotes and escapes (RFC 9110 §5.6.4); anything else as it is. */
function unquote(value: string): string {
  const [, quoted] = /^"((?:[^"\\]|\\.)*)"$/.exec(value) ?? [];
  return quoted === undefined ? value : quoted.replace(/\\(.)/g, '$1');
}

/** @throws {Problem} 422 a list where one event must be, or one event where a list must be */
function checkShape(value: unknown, isBatch: boolean): void {
  if (Array.isArray(value) === isBatch) return;
  const shape = isBatch
    ? `${BATCH} must be a list of CloudEvents`
    : `${STRUCTURED} must be one CloudEvent, not a list`;
  throw new Problem(422, `${shape}.`, { errors: [{ pointer: '#', detail: shape }] });
}

/**
 * Binary mode: each `ce-` header is an attribute, percent-encoded (HTTP binding §3.1.3.2), in older senders also quoted.
 * Undefined if this is another mode. @throws {Problem} 400 a header that isn't escaped as it must be, or data as a header
 */
function binaryAttributes({ req }: Call): Record<string, string> | undefined {
  if (!REQUIRED.some((name) => name in req.headers)) return undefined;
  const attributes: Record<string, string> = Object.create(null); // a header may have any name, also ce-__proto__
  for (const [name, value] of Object.entries(req.headers)) {
    if (!name.startsWith('ce-')) continue;
    // No attribute may have this name: it would be taken for the body.
    if (name === 'ce-data')
      throw new Problem(400, 'The data of an event is the body, and not the header ce-data.');
    // Bytes of which Node can't know the charset: as what it takes them for, they would be stored as other characters.
    if (/[^\t -~]/.test(String(value)))
      throw new Problem(400, `The header ${name} must percent-encode what is not ASCII.`);
    try {
      attributes[name.slice(3)] = decodeURIComponent(unquote(String(value)));
    } catch {
      throw new Problem(400, `The header ${name} has a % that begins no valid UTF-8 escape.`);
    }
  }
  // In this mode the type of the body is that of the data, and stands in no header of its own.
  const datacontenttype = req.headers['content-type'];
  return datacontenttype === undefined ? attributes : { ...attributes, datacontenttype };
}
