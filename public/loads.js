// Loads for the failure lab: many small events, or big ones. Fetched when one of them is wanted.
import { api } from './api.js';
import { count, show } from './dom.js';

const PARALLEL = 2; // a browser has six connections to one host, and event streams may hold four
const FLOOD_TEXT = 'x'.repeat(8 * 1024);

/** Small enough to vanish in buffers: nobody gets behind. */
export const burst = () => publish(1000, 1, (number) => ({ message: `Number ${number} of a burst` }));
/** 16 MB in all: after some 4 MB the buffers of kernel and browser are full, and a slow reader is seen. */
export const flood = () =>
  publish(2000, 50, (number) => ({ type: 'lab.load', data: { number, text: FLOOD_TEXT } }));

/**
 * Published `each` at once, and counted by the server's answers. One by one a busy machine publishes big ones no faster
 * than the slow reader reads, and nothing would be seen.
 * @param {number} total @param {number} each @param {(number: number) => object} event
 */
async function publish(total, each, event) {
  let sent = 0; // asked for, by either half: they share the numbers
  let saved = 0;
  const send = async () => {
    while (sent < total) {
      const events = Array.from({ length: each }, (_, index) => event(sent + index + 1));
      sent += each;
      const response = await api('/api/events', 'POST', each === 1 ? events[0] : events);
      if (response.ok) saved += each; // what is refused is sent no second time: the count says so
      show('load-progress', `${count(saved)} of ${count(total)} saved`);
    }
  };
  // One that fails ends its half of the work; the other goes on, and the count says how many were saved.
  await Promise.allSettled(Array.from({ length: PARALLEL }, send));
}
