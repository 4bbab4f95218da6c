// What a database complains of goes into the log, in its own words. While it is away every request and every turn meets
// the same trouble, and a rule of an application may be broken a thousand times a second: so lines are few.
const MAX_LINES = 10; // different ones in a minute: messages may have values in them
const WINDOW_MS = 60_000;

const told = new Set<string>();
let windowEnd = 0;

/** The same line once a minute. */
export function tell(line: string): void {
  if (performance.now() >= windowEnd) {
    told.clear();
    windowEnd = performance.now() + WINDOW_MS;
  }
  if (told.has(line) || told.size === MAX_LINES) return;
  told.add(line);
  console.error(line);
}
