// The seven experiments. Each is passed by one rung and failed by the one below it. Where a promise can be
// broken by what does not come, something that must come is sent after it: whoever hears that one has heard all
// that came before, so that nothing here depends on how fast the machine is.
import { heavy, type Person, type Rung } from './rung.ts';

/** `run` returns undefined where the promise is kept, else a sentence that says what happened to whom. */
export type Experiment = { promise: string; run: (rung: Rung) => Promise<string | undefined> };

// The kernels on both sides of a connection take some megabytes before a program notices that nobody reads.
const HEAVY_BYTES = 500_000;
const HEAVY_SAVES = 24;
const MAX_WAITING_BYTES = 1024 * 1024;
const SEAMS = 8; // rounds: where nothing else runs the first one meets it

export const EXPERIMENTS: Experiment[] = [
  { promise: 'everyone hears', run: everyoneHears },
  { promise: 'one that does not read holds nobody up', run: nobodyWaits },
  { promise: 'what was refused is not told', run: refusedIsNotTold },
  { promise: 'whoever saves it, it is told', run: whoeverSaves },
  { promise: 'who was away gets what it missed', run: awayGetsWhatItMissed },
  { promise: 'each once: no seam between then and now', run: eachOnce },
  { promise: 'one that does not read does not fill the memory', run: memoryStaysSmall },
];

async function everyoneHears(rung: Rung) {
  const people = [await rung.connect(), await rung.connect(), await rung.connect()];
  await rung.save('Cyd');
  await Promise.all(people.map((person) => person.hears('Cyd')));
  const heard = people.map((person) => said(person.heard)).join('; ');
  return people.every((person) => said(person.heard) === 'Cyd')
    ? undefined
    : `Cyd was saved. Heard: ${heard}.`;
}

async function nobodyWaits(rung: Rung) {
  const [ada, bob] = [await rung.connect(), await rung.connect()];
  bob.stopReading();
  for (let i = 1; i <= HEAVY_SAVES; i += 1) {
    if ((await rung.save(heavy(`customer ${i}`, HEAVY_BYTES))) === undefined)
      return `Bob does not read, and Ada waits for him for ever: save ${i} of ${HEAVY_SAVES} got no answer.`;
  }
  const isTold = await ada.hears(`customer ${HEAVY_SAVES}`);
  return isTold
    ? undefined
    : `Bob does not read, and Ada heard of ${ada.heard.length} of ${HEAVY_SAVES} saves.`;
}

async function refusedIsNotTold(rung: Rung) {
  const ada = await rung.connect();
  await rung.save('Cyd');
  const status = await rung.save('Cyd');
  await rung.save('Dan');
  await ada.hears('Dan');
  const times = ada.heard.filter((name) => name === 'Cyd').length;
  return times === 1
    ? undefined
    : `The second Cyd was refused (${status}), and Ada was told of Cyd ${times} times.`;
}

async function whoeverSaves(rung: Rung) {
  const ada = await rung.connect();
  await rung.save('Cyd');
  await ada.hears('Cyd'); // so she is there for certain when another program comes
  rung.saveByHand('Dan');
  const isTold = await ada.hears('Dan');
  return isTold ? undefined : 'Another program saved Dan, and Ada was not told.';
}

async function awayGetsWhatItMissed(rung: Rung) {
  const first = await rung.connect();
  for (const name of ['Cyd', 'Dan', 'Eve']) await rung.save(name);
  await first.hears('Eve');
  const ada = await rung.connect(1);
  await rung.save('Fay');
  await ada.hears('Fay');
  const isWhole = said(ada.heard) === 'Dan, Eve, Fay';
  return isWhole
    ? undefined
    : `Ada had seen Cyd, missed Dan and Eve, and came back for Fay. She was told: ${said(ada.heard)}.`;
}

/**
 * Many come at the very moment of a save: it is in the log, and nobody was told yet. A round ends when all were told, so
 * the next one begins right after a look at the log, with all the time until the next look.
 */
async function eachOnce(rung: Rung) {
  for (let seq = 1; seq <= 2 * SEAMS; seq += 2) {
    const saved = `x${seq}`;
    const saving = rung.save(saved);
    const people = [await rung.connect(seq - 1), await rung.connect(seq - 1)];
    await saving;
    people.push(await rung.connect(seq - 1));
    await rung.save(`x${seq + 1}`);
    await Promise.all(people.map((person) => person.hears(`x${seq + 1}`)));
    const wrong = people.find(({ heard }) => said(heard) !== `${saved}, x${seq + 1}`);
    if (wrong)
      return `${saved} and x${seq + 1} were saved, and Ada, who came at that moment, was told: ${said(wrong.heard)}.`;
    for (const person of people) person.leave();
  }
  return undefined;
}

async function memoryStaysSmall(rung: Rung) {
  const bob = await rung.connect();
  bob.stopReading();
  for (let i = 1; i <= HEAVY_SAVES; i += 1) {
    if ((await rung.save(heavy(`customer ${i}`, HEAVY_BYTES))) === undefined)
      return `Bob does not read, and save ${i} of ${HEAVY_SAVES} got no answer.`;
  }
  const other = await rung.connect(); // when it hears, Bob has had his turn as well
  await rung.save('Cyd');
  await other.hears('Cyd');
  const waiting = await rung.unsentBytes();
  if (waiting > MAX_WAITING_BYTES)
    return `Bob does not read, and ${(waiting / 1e6).toFixed(1)} MB wait for him in our memory.`;
  bob.readOn();
  const isWhole = (await bob.hears('Cyd')) && bob.heard.length === HEAVY_SAVES + 1;
  return isWhole
    ? undefined
    : `Bob reads on, and was told of ${bob.heard.length} of ${HEAVY_SAVES + 1} saves.`;
}

const said = (heard: Person['heard']): string => heard.join(', ') || 'nothing';
