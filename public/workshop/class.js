// What the board knows of a class: the events of its learners, folded into one row for each. No page and no
// network here; so it can be asked what it says of any events at any time.

export const LESSONS = 8;
const STUCK_MS = 3 * 60_000; // so long without a promise more, and somebody should go there
const CLASS_MS = 12 * 3600_000; // events older than that are of another class

/** @typedef {{ nick: string, lesson: number, kept: number, of: number, why: string, hint: number }} Progress */
/** @typedef {{ type: string, time: string, data: any }} LessonEvent */

/**
 * A learner. `lesson` is the open one, 0 where there is none (one has just joined, or is done); `best` is the most promises of it that they have kept at
 * once; `since` is when they last got further: began, kept a promise more than ever, or were done.
 * @typedef {Progress & { done: Set<number>, best: number, since: number }} Learner
 */

/** @typedef {ReturnType<typeof rowsOf>[number]} Row */

/** The class so far, by nick. @typedef {Map<string, Learner>} Class */

/** Takes one event into account; what is no lesson's event is passed over. @param {Class} all @param {LessonEvent} event */
export function follow(all, { type, time, data }) {
  const told = read(data);
  if (!type.startsWith('lesson.') || !told) return;
  const at = Date.parse(time);
  const known = all.get(told.nick);
  const before = known && isOfToday(known, at) ? known : undefined;
  if (type === 'lesson.joined' && before) return; // once more, perhaps from another address
  const done = new Set(before?.done);
  const isOver = type === 'lesson.done';
  if (done.has(told.lesson) && !isOver && type !== 'lesson.started') return; // it plays with what it has mended
  if (isOver) done.add(told.lesson);
  const same = type !== 'lesson.started' && before?.lesson === told.lesson ? before : undefined;
  const isHint = type === 'lesson.stuck' && same !== undefined; // it says nothing new of the promises
  const { kept, why } = isHint ? same : told;
  const isFurther = isOver || !same || kept > same.best;
  all.set(told.nick, {
    ...told,
    kept,
    why,
    lesson: isOver ? 0 : told.lesson,
    hint: Math.max(told.hint, same?.hint ?? 0),
    best: Math.max(kept, same?.best ?? 0),
    since: isFurther ? at : same.since,
    done,
  });
}

/** @param {Learner} learner @param {number} now */
const isOfToday = ({ since }, now) => now - since < CLASS_MS;

/** Anyone can publish: only what has the right shape is believed. @param {any} data @returns {Progress | undefined} */
function read(data) {
  const { nick, lesson, kept = 0, of = 0, why = '', hint = 0 } = data ?? {};
  const isSmall = (/** @type {unknown} */ number) => Number.isInteger(number) && Number(number) <= 20;
  if (typeof nick !== 'string' || nick === '' || typeof why !== 'string') return undefined;
  if (![lesson, kept, of, hint].every(isSmall) || lesson < 0 || lesson > LESSONS) return undefined;
  return { nick: nick.slice(0, 40), lesson, kept, of, why, hint };
}

/** One row for each learner: who has been stuck longest on top, the rest by name. @param {Class} all @param {number} now */
export function rowsOf(all, now) {
  const rows = [...all.values()].filter((learner) => isOfToday(learner, now));
  const marked = rows.map((learner) => {
    const isStuck = learner.lesson > 0 && now - learner.since >= STUCK_MS;
    return { ...learner, isStuck, minutes: Math.max(0, Math.floor((now - learner.since) / 60_000)) };
  });
  return marked.sort(
    (one, two) =>
      Number(two.isStuck) - Number(one.isStuck) ||
      (one.isStuck ? one.since - two.since : one.nick.localeCompare(two.nick)),
  );
}

/** "20 learners, 3 stuck": what to see from the door. @param {Row[]} rows */
export function summaryOf(rows) {
  const stuck = rows.filter(({ isStuck }) => isStuck).length;
  const busy = rows.filter(({ lesson }) => lesson > 0).length;
  const learners = `${rows.length} learner${rows.length === 1 ? '' : 's'}`;
  return `${learners}, ${busy} at work, ${stuck === 0 ? 'nobody' : stuck} stuck for three minutes`;
}
