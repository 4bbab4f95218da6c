// An event as a sentence. Types that we don't know, and data of any shape, are shown as they are.
import { customerChange } from './roster.js';

const MAX_LENGTH = 240;
const VERBS = new Map([
  ['customer.created', 'was added'],
  ['customer.updated', 'was changed'],
  ['customer.deleted', 'was deleted'],
]);

/** @param {ChangeEvent} event */
export function sentence(event) {
  const { type, data } = event;
  if (customerChange(event)) return shortened(`${data.name} ${VERBS.get(type)}`);
  if (type === 'notification' && typeof data?.message === 'string') return shortened(data.message);
  return shortened(`${type}: ${JSON.stringify(data)}`);
}

/**
 * One line, without the characters that turn the direction of all that follows: a name that ends in one
 * would turn our words around. @param {string} text
 */
export function shortened(text, length = MAX_LENGTH) {
  const plain = text.replace(/[\u202a-\u202e\u2066-\u2069]/g, '');
  return plain.length > length ? `${plain.slice(0, length)}…` : plain;
}

const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });

/** Others may have written any text for it. @param {string} time */
export const timeOf = (time) => (Date.parse(time) ? clock.format(new Date(time)) : time);
