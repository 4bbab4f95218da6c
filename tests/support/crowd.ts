// Many clients in a process of their own, so that what they cost is not taken from the one that measures beside them. This
// file is both sides: imported it starts the process, started by itself it is the process.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { fileURLToPath } from 'node:url';
import { closeAfterTest } from './cleanup.ts';
import { ROOT, within } from './patience.ts';
import { stripTypes } from './typescript.ts';

/** What the process is told on its standard input. */
export type Plan = {
  port: number;
  /** What each of them sends first: a handshake, a request for a stream. */
  openings: string[];
  /** What each sends again and again once it is answered, in hexadecimal; who is cut off comes back. */
  spam?: string;
  /** They read the first bytes of what comes, and no more. */
  areDeaf?: boolean;
};

// What a thousand handshakes may take on a busy machine.
const OPEN_MS = 30_000;
// Soon, but not at once: a server that is down would be asked in a loop without end.
const COME_BACK_MS = 20;

/** Starts them; resolves when each has had its first bytes. They end with the test. */
export async function startCrowd(plan: Plan): Promise<ChildProcess> {
  const file = fileURLToPath(import.meta.url);
  // Its errors go to our own, where somebody reads them; its output is the one line that says it is done.
  const child = spawn(process.execPath, [...stripTypes, file], {
    cwd: ROOT,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  closeAfterTest(() => child.kill('SIGKILL'));
  child.stdin.end(JSON.stringify(plan));
  // Its only line says that every one of them was answered.
  await within(once(child.stdout, 'data'), 'the crowd to be answered', OPEN_MS);
  return child;
}

/** One client: it opens, throws away all that comes, and sends its spam as fast as it is taken. */
function join(plan: Plan, opening: string, spam: Buffer | undefined, onAnswer: () => void): void {
  const { port, areDeaf } = plan;
  const socket = connectTcp(port, '127.0.0.1', () => socket.write(opening));
  let isAnswered = false;
  // To be cut off is what some of them are here for.
  socket.on('error', () => {});
  socket.once('data', () => {
    isAnswered = true;
    onAnswer();
    if (areDeaf) socket.pause();
    if (!spam) return;
    const send = () => {
      // Until the socket is full: then the server's own pace decides.
      while (socket.writable && socket.write(spam));
    };
    socket.on('drain', send);
    send();
  });
  socket.resume();
  // Only the first answer counts for the plan. Who got none comes back as well: on a machine that is busy with other
  // things a server may lose patience with somebody who had no time yet to ask.
  socket.once('close', () => {
    const told = isAnswered ? () => {} : onAnswer;
    if (spam || !isAnswered) setTimeout(() => join(plan, opening, spam, told), COME_BACK_MS);
  });
}

/** The process: reads its plan, opens all, and says when each has had its first bytes. */
async function run(): Promise<void> {
  const plan = JSON.parse(Buffer.concat(await process.stdin.toArray()).toString()) as Plan;
  const spam = plan.spam === undefined ? undefined : Buffer.from(plan.spam, 'hex');
  let left = plan.openings.length;
  const onAnswer = () => {
    left -= 1;
    if (left === 0) console.log('all of them');
  };
  // All at once: that is what a herd does after a restart.
  for (const opening of plan.openings) join(plan, opening, spam, onAnswer);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await run();
