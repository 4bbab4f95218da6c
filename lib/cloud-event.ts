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
import { type FieldError, pointerTo, textProblem } from './problem.ts';

// The specification bounds neither of these two; a log that everyone reads needs bounds.
const MAX_TEXT = 1024; // code points of one attribute
const MAX_EXTENSIONS = 32;
// CloudEvents 1.0, "Type System": Integer has 32 bits with a sign.
const MAX_INTEGER = 2 ** 31;
// "Attribute Naming Convention": lower case and digits; at most 20 of them are recommended.
const NAME = /^[a-z0-9]{1,40}$/;
const JSON_TYPE = /^[\w.+-]+\/([\w.+-]+\+)?json\s*(;.*)?$/i;

/**
 * Parses one CloudEvent as an object, and lists every attribute that is wrong. For structured and batched mode; in binary
 * mode the headers were made such an object before.
 * @param isReserved types that nobody may publish, by whatever form
 */
export function cloudEventParser(isReserved: IsReserved): ParseOne {
  return (item, at, errors) => {
    const { data = null, ...given } = item as Record<string, unknown>;
    // JSON format §2.2: an attribute that is null counts as absent.
    const attributes = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null));
    const before = errors.length;
    checkRequired(attributes, isReserved, at, errors);
    checkOthers(attributes, at, errors);
    const wrongData = dataProblem(data);
    if (wrongData) errors.push({ pointer: pointerTo('data', at), detail: wrongData });
    return errors.length > before ? undefined : toNewEvent(attributes, data);
  };
}

/** As given, without `data`: nothing is known of their types yet. */
type Attributes = Record<string, unknown>;
/** What is wrong with a value, in words that follow its name; undefined if nothing is. */
type Check = (value: unknown) => string | undefined;

/** The four that every CloudEvent has (CloudEvents 1.0, "REQUIRED Attributes"). */
function checkRequired(
  attributes: Attributes,
  isReserved: IsReserved,
  at: string,
  errors: FieldError[],
): void {
  const required: Record<string, Check> = {
    specversion: (value) => (value === '1.0' ? undefined : 'must be "1.0"'),
    id: shortText,
    source: sourceProblem,
    type: (value) => typeProblem(value, isReserved),
  };
  for (const [name, check] of Object.entries(required)) {
    const detail = Object.hasOwn(attributes, name) ? check(attributes[name]) : 'is required of a CloudEvent';
    if (detail) errors.push({ pointer: pointerTo(name, at), detail });
  }
}

/** Optional attributes by their own rules, and whatever else there is as extensions. */
function checkOthers(attributes: Attributes, at: string, errors: FieldError[]): void {
  const { specversion, id, source, type, ...others } = attributes;
  for (const [name, value] of Object.entries(others)) {
    // Asked with `hasOwn`, since `constructor` is the name of an extension like any other.
    const check = Object.hasOwn(OPTIONAL, name) ? OPTIONAL[name]! : extensionProblem;
    const detail =
      // `data_base64` is a member of the JSON format and no attribute: it has a rule of its own below.
      NAME.test(name) || name === 'data_base64' ? check(value) : 'must have a name of a-z and 0-9';
    if (detail) errors.push({ pointer: pointerTo(name, at), detail });
  }
  // Each of them goes to every client with every delivery.
  if (Object.keys(others).length > MAX_EXTENSIONS)
    errors.push({
      pointer: at,
      detail: `must have at most ${MAX_EXTENSIONS} attributes beside the required ones`,
    });
}

/** The optional attributes, and what each must be. */
const OPTIONAL: Record<string, Check> = {
  time: (value) =>
    typeof value === 'string' && parseTime(value)
      ? undefined
      : 'must be a time as in RFC 3339, such as 2026-11-23T09:30:00Z',
  subject: shortText,
  dataschema: (value) => sourceProblem(value),
  // Frames are JSON, so other data would have to be wrapped, in base64 for example, and no client here expects it.
  datacontenttype: (value) =>
    typeof value === 'string' && value.length <= 200 && JSON_TYPE.test(value)
      ? undefined
      : 'must be application/json, or another type of JSON: other data is not stored here',
  data_base64: () => 'is not stored here: send data as JSON',
};

/** For `id` and `subject`, which must not be empty where they are there. */
function shortText(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '') return 'must be a string that is not empty';
  return textProblem(value, MAX_TEXT);
}

/** The types of CloudEvents that JSON can tell apart; a URI, a time and bytes come as strings. */
function extensionProblem(value: unknown): string | undefined {
  if (typeof value === 'boolean') return undefined;
  if (typeof value === 'string') return textProblem(value, MAX_TEXT);
  const isInteger = Number.isInteger(value) && Math.abs(value as number) < MAX_INTEGER;
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
