// `POST /api/events`: how any other program notifies the clients. It takes events in our own short form, one or a list,
// and CloudEvents in the three modes of their HTTP binding (CloudEvents HTTP 1.0.2 §3). A list is one transaction.
// Whatever the form, what comes of it is the same: `NewEvent`s, which one order puts into the log.
import { cloudEventParser } from '../cloud-event.ts';
import { type Call, type JsonBody, readJson } from '../http/request.ts';
import { sendJson } from '../http/response.ts';
import type { Idempotency } from '../idempotency.ts';
import { type IsReserved, type NewEvent, newEventParser, parseEvents } from '../new-event.ts';
import { Problem } from '../problem.ts';
import type { Store } from '../store/store.ts';
import { describeWatched } from '../store/watch.ts';
import { readIdempotency } from './idempotency.ts';
import { headersOf } from './resource-api.ts';

// More than other bodies may have: the data of one event may be as long, and a list is many events.
const MAX_BYTES = 1024 * 1024;
// The three modes are told apart by the media type, and binary mode by its headers (§3.1 to §3.3).
const STRUCTURED = 'application/cloudevents+json';
const BATCH = 'application/cloudevents-batch+json';
// One of these is enough to mean binary mode: who forgot another is told which, instead of being misread.
const REQUIRED = ['ce-specversion', 'ce-id', 'ce-source', 'ce-type'];

/**
 * The handler of the POST.
 * @param watch the tables whose triggers write events of their own, which nobody can publish
 */
export function createPublishApi(store: Store, watch: Iterable<string>) {
  const isReserved = reservedTypes(watch);
  const parseOwn = newEventParser(isReserved);
  const parseCloudEvent = cloudEventParser(isReserved);

  return {
    /**
     * 201 with the stored event, or with the list of them. Nothing of a list is stored where one item of it is wrong.
     * @throws {Problem} 400 malformed, 403 a type that the token may not publish, 413, 415, 422 with every bad field, 503
     */
    async publish(call: Call): Promise<void> {
      const type = mediaTypeOf(call);
      if (type === STRUCTURED || type === BATCH) {
        const body = await readJson(call, { mediaTypes: [type], maxBytes: MAX_BYTES });
        // Before the items are looked at: a list in the wrong mode would be a list of errors about its items.
        checkShape(body.value, type === BATCH);
        return save(
          call,
          parseEvents(body.value, parseCloudEvent),
          type === BATCH,
          readIdempotency(call, body.text),
        );
      }
      const attributes = binaryAttributes(call);
      if (attributes) return publishBinary(call, attributes);
      // Our own form has no media type of its own: it is plain JSON.
      const body = await readJson(call, { maxBytes: MAX_BYTES });
      const events = parseEvents(body.value, parseOwn);
      return save(call, events, Array.isArray(body.value), readIdempotency(call, body.text));
    },
  };

  /** The headers are made an object as structured mode would have it, so that one parser judges both. */
  async function publishBinary(call: Call, attributes: Record<string, string>): Promise<void> {
    const body = await readBinaryBody(call);
    const event = { ...attributes, ...(body ? { data: body.value } : {}) };
    // In this mode half of the event is in its headers: the same body under other headers is another request.
    const idempotency = readIdempotency(call, body?.text ?? '', JSON.stringify(attributes));
    return save(call, parseEvents(event, parseCloudEvent), false, idempotency);
  }

  /** The scope is asked last: it knows types, and what is malformed has none that could be trusted. */
  async function save(
    call: Call,
    events: NewEvent[],
    isList: boolean,
    idempotency: Idempotency | undefined,
  ): Promise<void> {
    call.scope.checkPublish(events.map((event) => event.type));
    // Resolves when the events are on disk. Nobody is told from here: the hub reads them from the log.
    const answer = await store.write({ op: 'publish', events, isList, idempotency });
    sendJson(call.res, 201, answer.json, headersOf(answer));
  }
}

/**
 * `customer.created` and its like, and the same of every watched table: a row must have changed for one of these. Were
 * they open to all, a copy of a table could be told of rows that never were.
 */
function reservedTypes(watch: Iterable<string>): IsReserved {
  const tables = ['customer', ...describeWatched(watch).map(({ type }) => type)];
  const types = new Set(
    tables.flatMap((table) => ['created', 'updated', 'deleted'].map((change) => `${table}.${change}`)),
  );
  return (type) => types.has(type);
}

/** In lower case and without parameters, since media types are compared so. */
function mediaTypeOf({ req }: Call): string {
  return (req.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
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
 * Binary mode: each `ce-` header is an attribute, percent-encoded (HTTP binding §3.1.3.2). Undefined if this is another
 * mode. @throws {Problem} 400 a header with an escape that is none
 */
function binaryAttributes({ req }: Call): Record<string, string> | undefined {
  if (!REQUIRED.some((name) => name in req.headers)) return undefined;
  const attributes: Record<string, string> = {};
  for (const [name, value] of Object.entries(req.headers)) {
    if (!name.startsWith('ce-')) continue;
    try {
      attributes[name.slice(3)] = decodeURIComponent(String(value));
    } catch {
      throw new Problem(400, `The header ${name} has a % that begins no valid UTF-8 escape.`);
    }
  }
  // In this mode the type of the body is that of the data, and stands in no header of its own.
  const datacontenttype = req.headers['content-type'];
  return datacontenttype === undefined ? attributes : { ...attributes, datacontenttype };
}

/** Undefined if there is none: data is optional. @throws {Problem} 415 if it isn't JSON, and as `readJson` */
async function readBinaryBody(call: Call): Promise<JsonBody | undefined> {
  const { headers } = call.req;
  // A body that comes in chunks may be empty too, but that is known only when it has been read.
  const isEmpty = headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;
  if (isEmpty) return undefined;
  const type = mediaTypeOf(call);
  return readJson(call, {
    // Any type of JSON, since the type is the publisher's own; all else is refused by the name that we would take.
    mediaTypes: [type.endsWith('+json') ? type : 'application/json'],
    maxBytes: MAX_BYTES,
  });
}
