// The page of a rung: shows the scene as it comes, and sends the buttons' orders.

/** @typedef {import('./stage.ts').Scene} Scene */

const RUNGS = ['list', 'set', 'save, then tell', 'log', 'replay', 'cursor', 'high water'];
let rung = 0;

/** @param {string} id @returns {HTMLElement} */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {string} tag @param {object} properties @param {(Node | string)[]} children @returns {any} */
function make(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

/** @param {{ order: string, who?: string, number?: number }} order */
const send = (order) => fetch('/', { method: 'POST', body: JSON.stringify(order) });

/**
 * Buttons that take each other's place have one id, so that the focus stays there when all is drawn anew.
 * @param {string} text @param {{ order: string, who?: string, number?: number }} order @param {string} id
 */
const button = (text, order, id) => make('button', { textContent: text, id, onclick: () => send(order) });

/** A scene comes at any moment, and someone may be on a button with the keyboard. @param {() => void} drawAnew */
function keepFocus(drawAnew) {
  const id = document.activeElement?.id ?? '';
  drawAnew();
  if (id) (document.getElementById(id) ?? document.getElementById(id.replace('seam', 'cable')))?.focus();
}

/** @param {string} who */
const drawReturn = (who) => [
  button('Bring back', { order: 'back', who }, `cable-${who}`),
  button('Bring back at a save', { order: 'seam', who }, `seam-${who}`),
];

/** @param {Scene['people'][number]} person */
function drawPerson({ name, isHere, isReading, heard, lastSeq }) {
  const state = !isHere ? 'cut off' : isReading ? 'connected' : 'connected, does not read';
  const seen = lastSeq === undefined ? '' : `, last event ${lastSeq}`;
  const items = heard.map((one, at) =>
    make('li', { textContent: one, className: heard.indexOf(one) < at ? 'twice' : '' }),
  );
  return make(
    'div',
    { className: `person ${isHere ? '' : 'gone'} ${isReading ? '' : 'deaf'}` },
    make('h2', { textContent: name }),
    make('p', { textContent: state + seen }),
    make(
      'div',
      { className: 'tools' },
      ...(isHere
        ? [button('Cut the cable', { order: 'cut', who: name }, `cable-${name}`)]
        : drawReturn(name)),
      isReading
        ? button('Stop reading', { order: 'stop', who: name }, `reading-${name}`)
        : button('Read on', { order: 'read', who: name }, `reading-${name}`),
    ),
    make('ol', { className: 'heard', id: `heard-${name}`, tabIndex: 0 }, ...items),
  );
}

/** @param {Scene} scene */
function draw({ rung: number, saved, waitingBytes, people }) {
  if (number !== rung) void drawSource(number);
  keepFocus(() => element('people').replaceChildren(...people.map(drawPerson)));
  const items = saved.map(({ name, by, outcome }) =>
    make('li', { className: outcome === 'saved' ? '' : 'bad', textContent: `${name}, by ${by}: ${outcome}` }),
  );
  element('saved').replaceChildren(...items);
  element('saved').scrollTop = 1e9;
  const waiting = `In the server’s memory ${(waitingBytes / 1e6).toFixed(1)} MB wait for who does not read.`;
  element('waiting').textContent = waiting;
  element('waiting').className = waitingBytes > 1024 * 1024 ? 'bad' : '';
}

/** @param {number} number */
async function drawSource(number) {
  rung = number;
  /** @type {{ files: string[], lines: { text: string, isNew: boolean }[] }} */
  const { files, lines } = await (await fetch(`/rung/${number}`)).json();
  const spans = lines.map(({ text, isNew }) =>
    make('span', { textContent: text, className: isNew ? 'new' : '' }),
  );
  element('file').textContent = files[number - 1] ?? '';
  element('source').replaceChildren(...spans);
  const buttons = RUNGS.map((name, at) => {
    const one = button(`${at + 1} ${name}`, { order: 'rung', number: at + 1 }, `rung-${at + 1}`);
    one.ariaPressed = String(at + 1 === number);
    return one;
  });
  keepFocus(() => element('rungs').replaceChildren(...buttons));
}

for (const node of document.querySelectorAll('[data-order]'))
  node.addEventListener('click', () => send({ order: node.getAttribute('data-order') ?? '' }));
new EventSource('/scene').onmessage = ({ data }) => draw(JSON.parse(data));
