// `npm run lesson`: the lessons of the workshop. A learner's mistake is a sentence; anything else is our bug, and
// is shown whole.
import { main } from './cli.ts';
import { Refusal } from './commands.ts';

main(process.argv.slice(2)).catch((error: Error) => {
  if (!(error instanceof Refusal)) throw error;
  console.error(error.message);
  process.exitCode = 1;
});
