// The day before: is this machine ready? Each thing that can fail in a class is tried, and what is wrong comes with
// what to do.
import { runChecks, UNBROKEN } from './checks/run.ts';
import { addresses, knock, problemOf } from './class.ts';
import { filesOf, LESSONS, takeOut } from './lessons.ts';
import { freePort } from './ports.ts';
import type { Progress } from './state.ts';

const PORTS = { 'the board': 5000, 'npm run lesson -- serve': 5001, 'npm run ladder -- 1 --show': 5100 };

type Finding = { what: string; problem?: string | undefined };

/** Prints what it finds. @returns whether all is well */
export async function examine(root: string, progress: Progress): Promise<boolean> {
  const findings: Finding[] = [node(), await sqlite(), lessons(progress), await program(root)];
  for (const [what, port] of Object.entries(PORTS)) findings.push(await portOf(what, port));
  const { board } = progress.read();
  if (board)
    findings.push({
      what: `the board at ${board.url}, for ${board.nick}`,
      problem: problemOf(board, await knock(board)),
    });
  for (const { what, problem } of findings) console.log(problem ? `✘ ${what}\n    ${problem}` : `✔ ${what}`);
  console.log(`  this machine on the network: ${addresses().join(', ') || 'no address'}`);
  return findings.every(({ problem }) => problem === undefined);
}

function node(): Finding {
  const [major = 0] = process.versions.node.split('.').map(Number);
  const problem = major >= 20 ? undefined : 'Node 20 or newer is needed: https://nodejs.org';
  return { what: `Node ${process.versions.node}`, problem };
}

async function sqlite(): Promise<Finding> {
  const what = 'better-sqlite3 loads';
  try {
    const { runSql } = await import('./database.ts');
    runSql(':memory:', 'SELECT 1', 0);
    return { what };
  } catch (error) {
    const isOtherNode = /NODE_MODULE_VERSION/.test((error as Error).message);
    const reason = isOtherNode
      ? 'It was built for another version of Node.'
      : (error as Error).message.split('\n')[0];
    return {
      what,
      problem: `${reason} Run npm ci with this one, and a network: it fetches or builds a native file.`,
    };
  }
}

function lessons(progress: Progress): Finding {
  const what = 'the files are as the lessons need them';
  if (progress.read().open !== 0) return { what: `lesson ${progress.read().open} is open` };
  try {
    for (const lesson of LESSONS)
      for (const file of filesOf(lesson)) takeOut(lesson, file, progress.textOf(file));
    return { what };
  } catch (error) {
    return { what, problem: (error as Error).message };
  }
}

async function program(root: string): Promise<Finding> {
  const { trouble } = await runChecks(root, 2, UNBROKEN);
  return { what: 'the program starts and answers', problem: trouble };
}

/** A port that is taken is no fault: each command says which one it has. */
async function portOf(what: string, port: number): Promise<Finding> {
  const free = await freePort(port);
  return { what: free === port ? `port ${port} for ${what}` : `port ${free} for ${what}: ${port} is taken` };
}
