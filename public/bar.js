// The bar of the stage: its buttons, their shortcuts, and which of them can do something now.
import { cable } from './cable.js';
import { canPlay, captionText, isRunning, stage, tellStory } from './caption.js';
import { connection } from './connection.js';
import { element, onPaint, show } from './dom.js';

// While a story is told the bar waits for it: a second hand on the cables would make its sentences untrue.
const canCut = () => connection.isOpen() && !cable.isOut && !isRunning();
const canBringBack = () => cable.isOut && !isRunning();
const bringBack = () => canBringBack() && cable.bringBack();

function cut() {
  if (!canCut()) return;
  cable.cut(); // at once: only the words about it may have to be fetched
  tellStory('tellCut');
}

element('show-me').onclick = () => tellStory('showMe');
element('cut').onclick = cut;
element('add-someone').onclick = () => tellStory('act', 'addSomeone');
element('back').onclick = bringBack;
element('tidy').onclick = () => tellStory('act', 'tidyUp');
element('what').onclick = () => tellStory('explain');
cable.onBack = (told) => tellStory('tellBack', told);

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
    'show-me': canPlay(),
    cut: canCut(),
    'add-someone': !isRunning(),
    back: canBringBack(),
    tidy: stage.addedIds.length > 0 && !isRunning(),
  };
  for (const [id, isPossible] of Object.entries(can)) element(id).ariaDisabled = String(!isPossible);
  element('back').classList.toggle('bold', can.back);
  show('show-me', isRunning() ? 'Stop' : 'Show me');
  show('caption-text', captionText());
  for (const [index, dot] of [...element('steps').children].entries())
    dot.className = index < stage.step ? 'done' : '';
});
