// *Show me*: the story of a lost change in twelve seconds, on real connections and with real writes. Nothing
// in it is staged: each sentence waits until what it says has happened.
import { cable } from './cable.js';
import { areLive, tell } from './caption.js';

/**
 * Resolves once the verdict is told. Rejects with an AbortError when it is stopped.
 * @param {typeof import('./people.js')} people @param {Story} story
 */
export async function play({ addPerson, startLoopAfresh }, story) {
  const { pause, areEven, verdict, save } = story;
  if (cable.isOut) cable.bringBack();
  startLoopAfresh(); // what it lost in an earlier story is not counted in this one
  await pause(0, areLive); // else the first sentence would be a lie
  tell('Both are connected.', 1);
  await pause(800); // so that one sees both live, before anything happens
  tell('Ada Lovelace is added. Both hear of it at once.', 1);
  const ada = await addPerson('Ada Lovelace', story);
  await pause(2000, areEven);

  tell('Both cables are cut. Neither hears anything now.', 2);
  cable.cut();
  // From here on it is counted, by the ids that come and those that don't. Taken over: the verdict is told below, or not at all.
  const told = cable.told.splice(0);
  cable.stayOut(false); // the story brings them back itself
  await pause(1800); // as long as it takes to read the line

  tell('Meanwhile three changes are saved: Grace joins…', 3);
  await addPerson('Grace Hopper', story);
  await pause(1000);
  tell('Meanwhile three changes are saved: Grace joins, Ada is renamed…', 3);
  // One that changes what both know already: the loop's list is then not only short, it is wrong.
  await save(`/api/customers/${ada}`, 'PATCH', { name: 'Ada King' });
  await pause(1000);
  tell('Meanwhile three changes are saved: Grace joins, Ada is renamed, Edsger joins.', 3);
  await addPerson('Edsger Dijkstra', story);
  await pause(2000); // to look at both: they miss the same, and know the same

  tell('Both come back. Left tells which event it saw last; right only listens.', 4);
  cable.bringBack();
  // Until both have reached the same position: what has not come by then never will.
  await pause(3400, areEven);
  tell(verdict(told), 5);
}
