// The failure lab: more ways to lose this page's connection, and loads to see what happens then.
import { cable } from './cable.js';
import { connection } from './connection.js';
import { element, onPaint, withModule } from './dom.js';
import { server } from './server.js';

let isSending = false;

/** @param {'burst' | 'flood'} name */
async function load(name) {
  if (isSending) return;
  isSending = true;
  await withModule('loads', (loads) => loads[name]());
  isSending = false;
}

// What is below the fold is fetched when someone looks: until then nobody needs to ask the server every second.
new IntersectionObserver(([seen]) => {
  if (seen?.isIntersecting) withModule('server-view', () => {});
}).observe(element('lab'));

onPaint(() => {
  element('lab').hidden = !server.isLabOn;
  for (const id of ['goodbye', 'mute']) element(id).ariaDisabled = String(!connection.isOpen());
  for (const id of ['burst', 'flood']) element(id).ariaDisabled = String(isSending);
  element('slow').ariaDisabled = String(element('add-client').disabled);
});

/** @param {string} transport */
const addClient = (transport, isSlow = false) => withModule('fan-out', ({ add }) => add(transport, isSlow));
element('add-client').onclick = () => addClient(element('transport').value);
element('slow').onclick = () => addClient('WebSocket', true);
element('goodbye').onclick = () => connection.isOpen() && cable.goodbye();
element('mute').onclick = () => connection.isOpen() && connection.mute();
element('burst').onclick = () => load('burst');
element('flood').onclick = () => load('flood');
element('resume').onchange = () => {
  connection.isResuming = element('resume').checked;
};
