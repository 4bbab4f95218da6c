// Loads for the failure lab: many small events, or big ones. Fetched when one of them is wanted.
import { api } from './api.js';
import { count, show } from './dom.js';

const PARALLEL = 2; // a browser has six connections to one host, and event streams may hold four
const FLOOD_TEXT = 'x'.repeat(8 * 1024);

export const burst = () => publish(1000, (number) => ({ message: `Number ${number} of a burst` }));
export const flood = () =>
  publish(2000, (number) => ({ type: 'lab.load', data: { number, text: FLOOD_TEXT } }));

/** @param {number} total @param {(number: number) => object} event */
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
  await Promise.allSettled(Array.from({ length: PARALLEL }, send));
}
