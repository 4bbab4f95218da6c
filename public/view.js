// A client's state as people see it: the name of the state, a few words for the back row, and why. The words
// are never better than the truth: who is live and has lost something says so.
import { cable } from './cable.js';
import { connection } from './connection.js';
import { customers } from './customers.js';
import { count, seqOf } from './dom.js';
import { loop } from './loop.js';
import { server } from './server.js';

const seconds = (/** @type {number} */ ms) => Math.ceil(Math.max(0, ms) / 1000);

/** @param {string} state @param {string} word @returns {View} */
const say = (state, word, why = '', isLossy = false) => ({ state, word, why, isLossy });

/**
 * At the last event that it has heard of: that its connection is open tells nothing of what it missed.
 * @param {{ knownId: string }} ledger @param {number} lost
 */
function live({ knownId }, lost, why = '') {
  const seq = seqOf(knownId);
  const loss = lost > 0 ? `, ${count(lost, 'change')} lost` : '';
  return say('live', `Live at ${count(seq)}${loss || (seq === 0 ? ': no event yet' : '')}`, why, lost > 0);
}

/** @param {import('./ledger.js').Ledger} ledger @param {string} why */
function away(ledger, why) {
  const missed = ledger.behind(server.head);
  const soFar = missed > 0 ? `, ${count(missed, 'change')} missed` : '';
  const back = cable.backAt > 0 ? ` Back in ${seconds(cable.backAt - Date.now())} s.` : '';
  return say('waiting', `Cut off${soFar}`, why + back);
}

/** What is worst comes first: an open socket is no proof of anything. */
export function pageView() {
  const { ledger, state, reset, refusal, replay, isResuming } = connection;
  const now = Date.now();
  const quiet = now - connection.heardAt;
  const silence = `No heartbeat for ${Math.floor(quiet / 1000)} s, though the socket says open.`;
  if (connection.isSilent()) return say('silent', 'Silent', silence);
  if (connection.isOpen() && now < connection.mutedUntil) {
    const left = `Muted, ${seconds(connection.mutedUntil - now)} s left`;
    return say('muted', left, 'Nothing comes, though the socket says open.');
  }
  if (state === 'live' && now < reset.until) return say('reset', `Reset at ${count(ledger.head)}`, reset.why);
  if (state === 'live') return live(ledger, customers.lost(), isResuming ? RESUMES : RESUMES_NOT);
  if (state === 'catching-up') {
    const done = `${count(ledger.head - replay.from)} of ${count(replay.behind)}`;
    return say(state, `Catching up: ${done}`, 'It asked for all that it missed.');
  }
  if (connection.isHeld && (cable.isOut || !refusal)) return away(ledger, `${closing()}.`);
  if (state === 'connecting') {
    const { tries } = connection;
    return say('connecting', `Connecting…${tries ? `, try ${tries + 1}` : ''}`, connection.name && RESUMES);
  }
  const isFinal = state === 'refused'; // the same question would get the same answer
  const next = isFinal ? '' : `Next try in ${seconds((connection.nextTryAt ?? now) - now)} s.`;
  if (refusal) return say('refused', refusal.word, `${refusal.why} ${next}`);
  if (connection.wasSilent()) return say('silent', 'Silent', `${silence} ${next}`);
  return say('waiting', 'Waiting', `${closing()}. ${next}`);
}

/** A bare number at the beginning of a sentence is not understood. */
const closing = () => (connection.closeReason || 'The cable is cut').replace(/^\d/, 'Close code $&');

const RESUMES = 'After a break it asks for all that it missed.';
const RESUMES_NOT = 'Resuming is off: after a break it just listens again.';
const LISTENS = 'After a break it never asks what it missed.';

export function loopView() {
  const { ledger, state, isHeld } = loop;
  if (isHeld) return away(ledger, LISTENS);
  if (state === 'live') return live(ledger, ledger.missing(), LISTENS);
  const why = state === 'waiting' ? 'It has no connection. Every second it tries again.' : LISTENS;
  const word = state === 'waiting' ? 'Waiting' : 'Connecting…';
  return say(state, word, connection.isOpen() ? why : 'It waits until this page is connected.');
}
