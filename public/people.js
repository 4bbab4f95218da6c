// Who joins on the stage, and leaves it again when one tidies up. Fetched when first wanted. What was added is
// remembered over a reload, so that nobody's database keeps the people of a rehearsal.
import { cable } from './cable.js';
import { greet, stage, tell } from './caption.js';
import { connection } from './connection.js';
import { customers } from './customers.js';
import { paintSoon } from './dom.js';
import { loop } from './loop.js';
import { remember } from './memory.js';
import { server } from './server.js';

/** Short names, which a projector can show, and known to everyone in the room. */
const PEOPLE = [
  'Ada Lovelace',
  'Grace Hopper',
  'Edsger Dijkstra',
  'Barbara Liskov',
  'Alan Turing',
  'Joan Clarke',
];

const given = new Set(); // names: a page that is cut off does not hear of those that it added itself

/**
 * Saves a customer as anyone would, by a request: it comes back only over the stream, like everyone's.
 * @param {string} name @param {Story} story @returns {Promise<number>} its id
 */
export async function addPerson(name, { save }) {
  const response = await save('/api/customers', 'POST', { name });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail); // the story stops, and says so
  given.add(name);
  stage.addedIds.push(answer.id); // at once: a page that is closed in the middle of the story can still tidy up
  remember('added', stage.addedIds);
  return answer.id;
}

/** The next one, by a single press. Of those who are not there yet, so that names don't repeat until all are. @param {Story} story */
export async function addSomeone(story) {
  const names = new Set([...customers.roster.rows.values()].map(({ name }) => name));
  const name =
    PEOPLE.find((person) => !names.has(person) && !given.has(person)) ??
    `Customer ${stage.addedIds.length + 1}`;
  const where = connection.isCurrent()
    ? 'Who is connected hears of it.'
    : 'It is saved; who is cut off does not know.';
  await addPerson(name, story);
  tell(`${name} is added. ${where}`);
}

/** As a person does who presses reload: a fresh list, and nothing is held against the loop. */
export function startLoopAfresh() {
  // Its list is the page's, which is true at the newest position: so from there on it can be judged.
  loop.ledger.restart(loop.ledger.headId);
  loop.isFilled = false;
  paintSoon();
}

/**
 * What the stage added goes; the loop begins anew, since it can't know that its list was wrong.
 * @param {Story} story
 */
export async function tidyUp({ pause, areEven, save }) {
  // One after another, and each forgotten when it is gone: what fails in the middle can be tried again.
  for (const id of [...stage.addedIds]) {
    const { status } = await save(`/api/customers/${id}`, 'DELETE');
    if (status === 204 || status === 404) forget(id); // 404: someone else was quicker
  }
  if (cable.isOut) cable.bringBack();
  const { head } = server;
  await pause(0, () => areEven() && loop.ledger.head >= head); // until both have heard of the deletions
  startLoopAfresh();
  given.clear();
  greet();
}

/** @param {number} id */
function forget(id) {
  stage.addedIds = stage.addedIds.filter((other) => other !== id);
  remember('added', stage.addedIds);
}
