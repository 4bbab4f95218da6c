// Types that the regions share; only the type checker reads this.
type ChangeEvent = import('./changebell.js').ChangeEvent;
type Connection = ReturnType<typeof import('./connection.js').createConnection>;
/** Came live, was replayed after an absence, never came; or lies before the page was opened. */
type Fate = 'live' | 'replayed' | 'missing' | 'before';
/** A notification as it came: `at` and `gapMs` (since the one before) in milliseconds. */
type Entry = { event: ChangeEvent; text: string; fate: Fate; at: number; gapMs: number };
