// `POST /api/events`: how any other program notifies the clients. It takes events in our own short form, one or a list,
// and CloudEvents in the three modes of their HTTP binding (CloudEvents HTTP 1.0.2 §3). A list is one transaction.
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

const MAX_BYTES = 1024 * 1024;
const STRUCTURED = 'application/cloudevents+json';
const BATCH = 'application/cloudevents-batch+json';
const REQUIRED = ['ce-specversion', 'ce-id', 'ce-source', 'ce-type'];

/** @param watch the tables whose triggers write events of their own, which nobody can publish */
export function createPublishApi(store: Store, watch: Iterable<string>) {
  const isReserved = reservedTypes(watch);
  const parseOwn = newEventParser(isReserved);
  const parseCloudEvent = cloudEventParser(isReserved);

  return {
    async publish(call: Call): Promise<void> {
      const type = mediaTypeOf(call);
      if (type === STRUCTURED || type === BATCH) {
        const body = await readJson(call, { mediaTypes: [type], maxBytes: MAX_BYTES });
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
      const body = await readJson(call, { maxBytes: MAX_BYTES });
      const events = parseEvents(body.value, parseOwn);
      return save(call, events, Array.isArray(body.value), readIdempotency(call, body.text));
    },
  };

  async function publishBinary(call: Call, attributes: Record<string, string>): Promise<void> {
    const body = await readBinaryBody(call);
    const event = { ...attributes, ...(body ? { data: body.value } : {}) };
    const idempotency = readIdempotency(call, body?.text ?? '', JSON.stringify(attributes));
    return save(call, parseEvents(event, parseCloudEvent), false, idempotency);
  }

  async function save(
    call: Call,
    events: NewEvent[],
    isList: boolean,
    idempotency: Idempotency | undefined,
  ): Promise<void> {
    call.scope.checkPublish(events.map((event) => event.type));
    const answer = await store.write({ op: 'publish', events, isList, idempotency });
    sendJson(call.res, 201, answer.json, headersOf(answer));
  }
}

/** `customer.created` and its like, and the same of every watched table: a row must have changed for one of these. */
function reservedTypes(watch: Iterable<string>): IsReserved {
  const tables = ['customer', ...describeWatched(watch).map(({ type }) => type)];
  const types = new Set(
    tables.flatMap((table) => ['created', 'updated', 'deleted'].map((change) => `${table}.${change}`)),
  );
  return (type) => types.has(type);
}

function mediaTypeOf({ req }: Call): string {
  return (req.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
}

function checkShape(value: unknown, isBatch: boolean): void {
  if (Array.isArray(value) === isBatch) return;
  const shape = isBatch
    ? `${BATCH} must be a list of CloudEvents`
    : `${STRUCTURED} must be one CloudEvent, not a list`;
  throw new Problem(422, `${shape}.`, { errors: [{ pointer: '#', detail: shape }] });
}

/** Binary mode: each `ce-` header is an attribute, percent-encoded (HTTP binding §3.1.3.2). @throws {Problem} 400 */
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
  const datacontenttype = req.headers['content-type'];
  return datacontenttype === undefined ? attributes : { ...attributes, datacontenttype };
}

/** Undefined if there is none: data is optional. @throws {Problem} 415 if it isn't JSON, and as `readJson` */
async function readBinaryBody(call: Call): Promise<JsonBody | undefined> {
  const { headers } = call.req;
  const isEmpty = headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;
  if (isEmpty) return undefined;
  const type = mediaTypeOf(call);
  return readJson(call, {
    mediaTypes: [type.endsWith('+json') ? type : 'application/json'],
    maxBytes: MAX_BYTES,
  });
}
