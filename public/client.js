// One more client, in a Worker. A slow one is busy for 20 ms with each message: in the page that would make
// no backpressure, since the browser reads on regardless; here it does.
import { ChangeStream } from './changebell.js';

const BUSY_MS = 20;
const REPORT_MS = 100; // at most ten times a second, or the page would drown in reports

let target = /** @type {any} */ (undefined);
let stream = /** @type {ChangeStream | undefined} */ (undefined);
let client = '';
let isSlow = false;
let reportedAt = 0;
let timer = /** @type {Timer} */ (undefined);

// Orders of the page: an address to begin with, then what to be from now on.
addEventListener('message', ({ data: order }) => {
  if (order.url) target = order;
  isSlow = order.isSlow ?? isSlow;
  if (order.isCut) stream?.close(); // it keeps its cursor: that is all it takes to go on later
  if (order.url || order.isCut === false) open(stream?.lastEventId);
});

/** Anew, or on from its cursor after a cut. @param {string | undefined} lastEventId */
function open(lastEventId) {
  stream = new ChangeStream(target.url, { ...target, lastEventId });
  stream.addEventListener('ready', (/** @type {any} */ { detail }) => {
    client = detail.client;
  });
  stream.addEventListener('message', work);
  for (const type of ['state', 'heartbeat']) stream.addEventListener(type, report);
  report();
}

/** Busy, not asleep: only a thread that is kept from reading lets the socket's buffers fill up. */
function work() {
  const busyUntil = performance.now() + (isSlow ? BUSY_MS : 0);
  while (performance.now() < busyUntil);
  // Once it is done: until then the stream stands before it, and the lane would seem to be behind until a heartbeat.
  timer ??= setTimeout(report, Math.max(0, reportedAt + REPORT_MS - performance.now()));
}

/** The page paints no more than this: messages stay in the Worker. */
function report() {
  clearTimeout(timer);
  timer = undefined;
  reportedAt = performance.now();
  postMessage({ state: stream?.state, lastEventId: stream?.lastEventId ?? '', client });
}
