// A CloudEvent that another program made (CloudEvents 1.0), as one of ours. It keeps its type, source, time, subject
// and extension attributes; its id becomes ours, and its own stands in the extension attribute `originid`. Its source
// and id together are its key, so that a sender who repeats it stores it once.
import { parseTime } from './event.ts';
import { hashOf, keyOfEvent } from './idempotency.ts';
import {
  dataProblem,
  type IsReserved,
  type NewEvent,
  type ParseOne,
  sourceProblem,
  typeProblem,
} from './new-event.ts';
import { addFault, textProblem } from './problem.ts';

// CloudEvents 1.0, "REQUIRED Attributes".
const REQUIRED = ['specversion', 'id', 'source', 'type'];
// The specification bounds neither of these two; a log that everyone reads needs bounds.
const MAX_TEXT = 1024; // code points of one attribute
const MAX_OTHERS = 32;
// "Attribute Naming Convention": lower case and digits; at most 20 of them are recommended.
const NAME = /^[a-z0-9]{1,40}$/;
const JSON_TYPE = /^[\w.+-]+\/([\w.+-]+\+)?json\s*(;.*)?$/i;

/** As given, without `data`; an attribute that is null counts as absent (JSON format §2.2). */
type Attributes = Record<string, unknown>;

/**
 * Parses one CloudEvent as an object, and lists every attribute that is wrong. For structured and batched mode; in binary
 * mode the headers were made such an object before.
 */
export const parseCloudEvent: ParseOne = (item, at, errors, isReserved) => {
  const { data = null, ...given } = item as Attributes;
  const attributes = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null));
  const before = errors.length;
  for (const name of REQUIRED)
    if (!Object.hasOwn(attributes, name)) addFault(errors, at, name, 'is required of a CloudEvent');
  for (const [name, value] of Object.entries(attributes))
    addFault(errors, at, name, attributeProblem(name, value, isReserved));
  // Each of them goes to every client with every delivery.
  if (Object.keys(attributes).length > REQUIRED.length + MAX_OTHERS)
    errors.push({
      pointer: at,
      detail: `must have at most ${MAX_OTHERS} attributes beside the required ones`,
    });
  addFault(errors, at, 'data', dataProblem(data));
  return errors.length > before ? undefined : toNewEvent(attributes, data);
};

/** What is wrong with an attribute; what has no rule of its own is an extension. */
function attributeProblem(name: string, value: unknown, isReserved: IsReserved): string | undefined {
  const rule = RULES.get(name);
  if (rule) return rule(value, isReserved);
  return NAME.test(name) ? extensionProblem(value) : 'must have a name of a-z and 0-9';
}

const RULES = new Map<string, (value: unknown, isReserved: IsReserved) => string | undefined>([
  ['specversion', (value) => (value === '1.0' ? undefined : 'must be "1.0"')],
  ['id', shortText],
  ['source', sourceProblem],
  ['type', typeProblem],
  ['subject', shortText],
  ['time', timeProblem],
  ['dataschema', sourceProblem],
  ['datacontenttype', contentTypeProblem],
  ['data_base64', () => 'is not stored here: send data as JSON'],
]);

function timeProblem(value: unknown): string | undefined {
  const isTime = typeof value === 'string' && parseTime(value);
  return isTime ? undefined : 'must be a time as in RFC 3339, such as 2026-11-23T09:30:00Z';
}

/** Frames are JSON, so other data would have to be wrapped, in base64 for example, and no client here expects it. */
function contentTypeProblem(value: unknown): string | undefined {
  const isJson = typeof value === 'string' && value.length <= 200 && JSON_TYPE.test(value);
  return isJson
    ? undefined
    : 'must be application/json, or another type of JSON: other data is not stored here';
}

/** For `id` and `subject`, which must not be empty where they are there. */
function shortText(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '') return 'must be a string that is not empty';
  return textProblem(value, MAX_TEXT);
}

/** The types of CloudEvents that JSON can tell apart; a URI, a time and bytes come as strings. */
function extensionProblem(value: unknown): string | undefined {
  if (typeof value === 'boolean') return undefined;
  if (typeof value === 'string') return textProblem(value, MAX_TEXT);
  const isInteger = typeof value === 'number' && (value | 0) === value; // of 32 bits with a sign
  return isInteger ? undefined : 'must be a string, a boolean, or a whole number of 32 bits';
}

/** After all checks, so that a cast says what they have shown. */
function toNewEvent(attributes: Attributes, data: unknown): NewEvent {
  const { specversion, id, source, type, time, originid, ...others } = attributes as Record<string, string>;
  // A sender's own `originid` is dropped: it would be that of an earlier log, and an event can have one alone.
  // The sender's time comes first: `toCloudEvent` looks for it there, since it stands in for our own.
  const extensions = JSON.stringify({ ...(time === undefined ? {} : { time }), ...others, originid: id });
  const event = { type: type!, source: source!, data: JSON.stringify(data), extensions };
  // Of what the event says, and not of how it was sent: a repeat may carry another traceparent.
  const request = hashOf(event.type, event.data);
  return { ...event, idempotency: { key: keyOfEvent(event.source, id!), request } };
}
