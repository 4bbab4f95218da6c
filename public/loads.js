// Loads for the failure lab: many small events, or big ones. Fetched when one of them is wanted.
import { api } from './api.js';
import { count, show } from './dom.js';

const PARALLEL = 2; // a browser has six connections to one host, and event streams may hold four
const FLOOD_TEXT = 'x'.repeat(8 * 1024);

/** Small enough to vanish in buffers: nobody gets behind. */
export const burst = () => publish(1000, (number) => ({ message: `Number ${number} of a burst` }));
/** 16 MB in all: after some 4 MB the buffers of kernel and browser are full, and a slow reader is seen. */
export const flood = () =>
  publish(2000, (number) => ({ type: 'lab.load', data: { number, text: FLOOD_TEXT } }));

/**
 * Published one by one, as a program would, and counted by the server's answers.
 * @param {number} total @param {(number: number) => object} event
 */
async function publish(total, event) {
  let sent = 0;
  let saved = 0;
  const send = async () => {
    while (sent < total) {
      sent += 1;
      const response = await api('/api/events', 'POST', event(sent));
      if (response.ok) saved += 1;
      show('load-progress', `${count(saved)} of ${count(total)} saved`);
    }
  };
  // One that fails ends its half of the work; the other goes on, and the count says how many were saved.
  await Promise.allSettled(Array.from({ length: PARALLEL }, send));
}
