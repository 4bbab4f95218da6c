// The failure lab: ways to lose this page's own connection, and loads that show what happens then.
import { api } from './api.js';
import { muteSeconds } from './connection.js';
import { count, element, onPaint, show } from './dom.js';

const PARALLEL = 6; // what a browser opens to one host
const FLOOD_TEXT = 'x'.repeat(8 * 1024);

/** @param {Connection} connection @param {{ addSlowReader: () => void, isFull: () => boolean }} fanOut */
export function createLab(connection, fanOut) {
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
    element('lab').hidden = !connection.server.isLabOn;
    for (const id of ['goodbye', 'cut', 'mute']) element(id).ariaDisabled = String(!connection.isOpen());
    for (const id of ['burst', 'flood']) element(id).ariaDisabled = String(isSending);
    element('slow').ariaDisabled = String(fanOut.isFull());
    show('mute-seconds', count(muteSeconds(connection.server)));
  });
  element('goodbye').onclick = connection.goodbye;
  element('cut').onclick = connection.cut;
  element('mute').onclick = connection.mute;
  element('slow').onclick = fanOut.addSlowReader;
  element('burst').onclick = () => publish(1000, (number) => ({ message: `Number ${number} of a burst` }));
  element('flood').onclick = () =>
    publish(2000, (number) => ({ type: 'flood', data: { number, text: FLOOD_TEXT } }));
  element('resume').onchange = () => connection.resume(element('resume').checked);
}
