// Helpers for the regions. All is painted once per animation frame: a page that appends and scrolls for
// each event freezes under a few thousand.

const painters = /** @type {(() => void)[]} */ ([]);
let frame = 0;
let timer = /** @type {Timer} */ (undefined);

/** @param {() => void} painter */
export const onPaint = (painter) => painters.push(painter);

/** In the next frame; frames stop in hidden tabs, so there once a second. */
export function paintSoon() {
  if (timer) return;
  frame = requestAnimationFrame(paint);
  timer = setTimeout(paint, 1000);
}

/** Ends both, whichever came first: what is left of them would paint again, and again, in a flood. */
function paint() {
  cancelAnimationFrame(frame);
  clearTimeout(timer);
  timer = undefined;
  for (const painter of painters) painter();
}

/** @param {string} id @returns {any} */
export const element = (id) => document.getElementById(id);

/** @param {string} tag @param {object} properties @param {(Node | string)[]} children @returns {any} */
export function make(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

/** @param {string} textContent @param {() => void} onclick */
export const button = (textContent, onclick) => make('button', { textContent, onclick });

/** A change of nothing would still cost a layout. @param {Element} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {string} id @param {string} text */
export const show = (id, text) => setText(element(id), text);

/** A state as a shape. @param {any} svg @param {string} state */
export function setMark({ firstElementChild: use }, state) {
  if (use.getAttribute('href') !== `#mark-${state}`) use.setAttribute('href', `#mark-${state}`);
}

const retries = /** @type {Map<string, string>} */ (new Map());

/**
 * A module of ours that is fetched when it is first wanted. Some browsers remember that one could not be fetched:
 * so what failed while the server was away is asked for under another name the next time.
 * @param {string} name @returns {Promise<any>}
 */
export async function lazily(name) {
  try {
    return await import(`./${name}.js${retries.get(name) ?? ''}`);
  } catch (error) {
    retries.set(name, `?${Date.now()}`);
    throw error;
  }
}

/** Where it can't be fetched nothing is done: the stage tells why. @param {string} name @param {(module: any) => unknown} use */
export const withModule = (name, use) => lazily(name).then(use, () => {});

const integer = new Intl.NumberFormat('en');

/** "1,234" or "2 changes" @param {number} number */
export function count(number, noun = '') {
  return integer.format(number) + (noun && ` ${noun}${number === 1 ? '' : 's'}`);
}

/** The position in an id. @param {string} id */
export const seqOf = (id) => Number(id.slice(id.lastIndexOf('-') + 1));
