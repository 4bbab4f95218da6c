// One more client, in a Worker. A slow one is busy for 20 ms with each message: in the page that would make
// no backpressure, since the browser reads on regardless; here it does.
import { ChangeStream } from './changebell.js';

const BUSY_MS = 20;
const REPORT_MS = 100;

let target = /** @type {any} */ (undefined);
let stream = /** @type {ChangeStream | undefined} */ (undefined);
let client = '';
let isSlow = false;
let reportedAt = 0;

addEventListener('message', ({ data: order }) => {
  if (order.url) target = order;
  isSlow = order.isSlow ?? isSlow;
  if (order.isCut) stream?.close();
  if (order.url || order.isCut === false) open(stream?.lastEventId);
});

/** @param {string | undefined} lastEventId */
function open(lastEventId) {
  stream = new ChangeStream(target.url, { ...target, lastEventId });
  stream.addEventListener('ready', (/** @type {any} */ { detail }) => {
    client = detail.client;
  });
  stream.addEventListener('message', work);
  for (const type of ['state', 'heartbeat']) stream.addEventListener(type, report);
  report();
}

function work() {
  const busyUntil = performance.now() + (isSlow ? BUSY_MS : 0);
  while (performance.now() < busyUntil);
  if (performance.now() - reportedAt > REPORT_MS) report();
}

function report() {
  reportedAt = performance.now();
  postMessage({ state: stream?.state, lastEventId: stream?.lastEventId ?? '', client });
}
