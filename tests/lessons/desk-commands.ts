// The commands of one desk, one after the other in one process, as `desk.ts` asks for them: what a start takes is paid
// once. That each also works in a process of its own is shown by the test that plays a whole lesson.
import { format } from 'node:util';
import { main } from './cli.ts';
import { Refusal } from './commands.ts';

let text = '';
const say = (...parts: unknown[]) => {
  text += `${format(...parts)}\n`;
};
console.log = console.error = say;

process.on('message', async (words: string[]) => {
  text = '';
  process.exitCode = 0;
  await main(words).catch((error: Error) => {
    if (!(error instanceof Refusal)) throw error;
    say(error.message);
    process.exitCode = 1;
  });
  process.send!({ code: process.exitCode, text });
});
process.once('disconnect', () => process.exit());
