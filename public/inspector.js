// One message, as it came and as it reads. It says messages, since a page can't see frames.
import { count, element, show } from './dom.js';
import { timeOf } from './sentences.js';

// Only what came can be inspected; the others are there for the type.
const FATES = {
  live: 'came live',
  replayed: 'replayed after an absence',
  missing: '',
  before: 'came before this page was opened',
  pending: '',
};

/** Bytes as they came over the wire, in UTF-8, and not the characters. @param {Entry} entry */
export function inspect({ event, text, fate, gapMs }) {
  const bytes = count(new TextEncoder().encode(text).length, 'byte');
  // Between two receipts here, and not between two commits.
  const gap = gapMs ? `, ${gapMs.toFixed(gapMs < 10 ? 1 : 0)} ms after the one before` : '';
  show('message-facts', `${event.id}, ${timeOf(event.time)}: ${FATES[fate]}, ${bytes}${gap}`);
  // Both forms: the one to read, and the one that says what was really sent.
  show('message-json', JSON.stringify(event, null, 2));
  show('message-text', text);
  for (const form of ['json', 'text']) element(`message-${form}`).hidden = false;
}
