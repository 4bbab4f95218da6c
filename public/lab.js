// The failure lab: more ways to lose this page's connection, and loads to see what happens then.
import { cable } from './cable.js';
import { connection } from './connection.js';
import { element, onPaint } from './dom.js';
import { server } from './server.js';

let isSending = false;

/** @param {'burst' | 'flood'} name */
async function load(name) {
  if (isSending) return;
  isSending = true;
  await import('./loads.js').then((loads) => loads[name]()).catch(() => {}); // the stage tells why
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
const actions = { goodbye, mute, slow, burst: () => load('burst'), flood: () => load('flood') };
for (const [id, onclick] of Object.entries(actions)) element(id).onclick = onclick;
element('resume').onchange = () => {
  connection.isResuming = element('resume').checked;
};
