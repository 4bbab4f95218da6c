// The failure lab: more ways to lose this page's connection, and loads to see what happens then.
import { cable } from './cable.js';
import { connection } from './connection.js';
import { element, lazily, onPaint } from './dom.js';
import { server } from './server.js';

let isSending = false;

/** @param {'burst' | 'flood'} name */
async function load(name) {
  if (isSending) return;
  isSending = true;
  await lazily('loads')
    .then((loads) => loads[name]())
    .catch(() => {}); // the stage tells why
  isSending = false;
}

// What is below the fold is fetched when someone looks: until then nobody needs to ask the server every second.
new IntersectionObserver(([seen]) => {
  if (seen?.isIntersecting) lazily('server-view').catch(() => {}); // at the next look, perhaps
}).observe(element('lab'));

onPaint(() => {
  element('lab').hidden = !server.isLabOn;
  for (const id of ['goodbye', 'mute']) element(id).ariaDisabled = String(!connection.isOpen());
  for (const id of ['burst', 'flood']) element(id).ariaDisabled = String(isSending);
  element('slow').ariaDisabled = String(element('add-client').disabled);
});
/** @param {string} transport */
const addClient = (transport, isSlow = false) =>
  lazily('fan-out').then(
    ({ add }) => add(transport, isSlow),
    () => {}, // the stage tells why
  );
const slow = () => addClient('WebSocket', true);
element('add-client').onclick = () => addClient(element('transport').value);
const goodbye = () => connection.isOpen() && cable.goodbye();
const mute = () => connection.isOpen() && connection.mute();
const actions = { goodbye, mute, slow, burst: () => load('burst'), flood: () => load('flood') };
for (const [id, onclick] of Object.entries(actions)) element(id).onclick = onclick;
element('resume').onchange = () => {
  connection.isResuming = element('resume').checked;
};
