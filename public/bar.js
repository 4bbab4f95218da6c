// The bar of the stage: its buttons, their shortcuts, and which of them can do something now.
import { cable } from './cable.js';
import { connection } from './connection.js';
import { element, onPaint, show } from './dom.js';
import * as story from './story.js';

const canCut = () => connection.isOpen() && !cable.isOut && !story.isRunning();
const canBringBack = () => cable.isOut && !story.isRunning();
const cut = () => canCut() && story.cutBoth();
const bringBack = () => canBringBack() && cable.bringBack();

element('show-me').onclick = story.showMe;
element('cut').onclick = cut;
element('add-someone').onclick = () => story.act('addSomeone');
element('back').onclick = bringBack;
element('tidy').onclick = () => story.act('tidyUp');

/** By the place of the key: with Alt a Mac writes another letter. */
addEventListener('keydown', (event) => {
  const action = { KeyC: cut, KeyB: bringBack }[event.code];
  if (!action || !event.altKey || event.ctrlKey || event.metaKey || event.repeat) return;
  // There Alt C is how one writes the ç of a name: in a field it belongs to the name.
  if (/** @type {Element} */ (event.target).matches('input') && !/^[bc]$/i.test(event.key)) return;
  event.preventDefault();
  action();
});

onPaint(() => {
  // They look disabled and keep the focus: a button that vanishes under the finger takes it away.
  const can = {
    'show-me': story.canPlay(),
    cut: canCut(),
    'add-someone': !story.isRunning(),
    back: canBringBack(),
    tidy: story.hasAdded() && !story.isRunning(),
  };
  for (const [id, isPossible] of Object.entries(can)) element(id).ariaDisabled = String(!isPossible);
  element('back').classList.toggle('bold', can.back);
  show('show-me', story.isRunning() ? 'Stop' : 'Show me');
  show('caption-text', story.captionText());
  for (const [index, dot] of [...element('steps').children].entries())
    dot.className = index < story.stepsDone() ? 'done' : '';
});
