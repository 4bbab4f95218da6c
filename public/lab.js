// The failure lab: ways to lose this page's connection, and loads to see what happens then.
import { api } from './api.js';
import { cut, goodbye, isOpen, mute, resumeAfterReconnect, server } from './connection.js';
import { count, element, onPaint, show } from './dom.js';
import { addSlowReader, isFull } from './fan-out.js';

const PARALLEL = 6; // what a browser opens to one host
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
  for (const id of ['goodbye', 'cut', 'mute']) element(id).ariaDisabled = String(!isOpen());
  for (const id of ['burst', 'flood']) element(id).ariaDisabled = String(isSending);
  element('slow').ariaDisabled = String(isFull());
});
const burst = () => publish(1000, (number) => ({ message: `Number ${number} of a burst` }));
const flood = () => publish(2000, (number) => ({ type: 'lab.load', data: { number, text: FLOOD_TEXT } }));
const actions = { goodbye, cut, mute, slow: addSlowReader, burst, flood };
for (const [id, onclick] of Object.entries(actions)) element(id).onclick = onclick;
element('resume').onchange = () => resumeAfterReconnect(element('resume').checked);
