// The client's side of the promise: store the id of every event that you have processed, reconnect with the last
// one stored. For browsers and Node, without dependencies. `ChangeStream` is the stream, in the manner of
// EventSource; `LiveTable` is a copy of a table that stays right. To be read after this: `changebell/`.

/** @typedef {import('./changebell/types.js').ChangeEvent} ChangeEvent */
/** @typedef {import('./changebell/types.js').State} State */
/** @typedef {import('./changebell/types.js').Options} Options */

export { ChangeStream } from './changebell/change-stream.js';
export { LiveTable } from './changebell/live-table.js';
