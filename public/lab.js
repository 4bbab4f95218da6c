// The failure lab: more ways to lose this page's connection, and loads to see what happens then.
import { api } from './api.js';
import { cable } from './cable.js';
import { connection } from './connection.js';
import { count, element, onPaint, show } from './dom.js';
import { server } from './server.js';

const PARALLEL = 2; // a browser has six connections to one host, and event streams may hold four
const FLOOD_TEXT = 'x'.repeat(8 * 1024);

let isSending = false;

/** @param {number} total @param {(number: number) => object} event */
async function publish(total, event) {
  if (isSending) return;
  isSending = true;
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
  isSending = false;
}

onPaint(() => {
  element('lab').hidden = !server.isLabOn;
  for (const id of ['goodbye', 'mute']) element(id).ariaDisabled = String(!connection.isOpen());
  for (const id of ['burst', 'flood']) element(id).ariaDisabled = String(isSending);
  element('slow').ariaDisabled = String(element('add-client').disabled);
});
/** @param {string} transport */
const addClient = async (transport, isSlow = false) => (await import('./fan-out.js')).add(transport, isSlow);
const slow = () => addClient('WebSocket', true);
element('add-client').onclick = () => addClient(element('transport').value);
const goodbye = () => connection.isOpen() && cable.goodbye();
const mute = () => connection.isOpen() && connection.mute();
const burst = () => publish(1000, (number) => ({ message: `Number ${number} of a burst` }));
const flood = () => publish(2000, (number) => ({ type: 'lab.load', data: { number, text: FLOOD_TEXT } }));
const actions = { goodbye, mute, slow, burst, flood };
for (const [id, onclick] of Object.entries(actions)) element(id).onclick = onclick;
element('resume').onchange = () => {
  connection.isResuming = element('resume').checked;
};
