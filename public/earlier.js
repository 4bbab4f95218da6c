// The newest events from before the page was opened, for a tab that brings none of its own: whoever comes for the
// first time sees what has happened, and not an empty log.
import { api } from './api.js';
import { seqOf } from './dom.js';
import { addEarlier } from './log.js';

const MOST = 200; // in one answer: what few will scroll to may not cost megabytes
const MINUTE_MS = 60_000;
const REACHES = [24 * 60, 60, 1]; // minutes

/** @param {number} start of the stream: what lies after it comes over the stream */
export async function show(start) {
  const events = await newest().catch(() => []);
  const earlier = events.filter(({ id }) => seqOf(id) <= start);
  addEarlier(earlier.map(toEntry), 'The page was opened here.');
}

/**
 * The API reads forwards only. So it is asked from the very beginning, then from nearer and nearer, until all up to
 * now fits into one answer. If not even a minute does, there is so much to come that the log fills by itself.
 * @returns {Promise<ChangeEvent[]>}
 */
async function newest() {
  const times = REACHES.map((minutes) => new Date(Date.now() - minutes * MINUTE_MS).toISOString());
  for (const from of ['earliest', ...times]) {
    const response = await api(`/api/events?from=${from}&limit=${MOST}`);
    if (!response.ok) break; // a token of few rights, perhaps: then the log begins here
    const { events, more } = await response.json();
    if (!more) return events;
  }
  return [];
}

/** @param {ChangeEvent} event @returns {Entry} */
const toEntry = (event) => ({ event, text: JSON.stringify(event), fate: 'before', gapMs: 0 });
