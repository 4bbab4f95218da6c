// What the words and numbers of the page mean, for whoever asks. They lie above the page, so that nothing moves;
// Escape, or a press beside them, closes them. Fetched with the first question.
import { element, make } from './dom.js';

/** In the order in which one meets them, in the words of the page itself: who searches for one finds it. */
const WORDS = {
  Event:
    'A change that was saved, or a message that someone published. The server numbers them: 1, 2, 3 and so on.',
  'Live at 4': 'It is connected, and the last event that it knows is number 4.',
  '1f3a09bc-4':
    'The id of event 4. Before the number stands a random stamp, another one for each event. By it the server sees whether it still has that very event: after a restored backup another one may have its number.',
  'The boxes':
    'Filled: it came live. Hatched: it was replayed. With a question mark: it never came. Dotted: it is saved, but this client has not heard of it. Grey: it is from before.',
  'Close code 1006':
    'The browser’s own number for a connection that ended without a goodbye. With one it is 1000 or 1001.',
  'Missed, lost':
    'A client has missed what was saved while it was away. What it still does not know when it is live again is lost to it. That is counted by whoever looks on, from the log: the loop itself cannot know.',
  Heartbeat: 'What the server sends when there is nothing to tell, so that silence means a fault.',
  'Changes a second': 'Saved by anyone, on an average of the last 10 s.',
  'Tidy up': 'Deletes the customers that “Show me” and “Add a customer” have added.',
  '? clients': 'Nobody has told this page for a while: its cable is cut, or the server is gone.',
};

export function open() {
  const words = element('words') ?? makeWords();
  words.showPopover();
}

/** From then on its button opens and closes it by itself, and the focus comes back there. */
function makeWords() {
  const list = Object.entries(WORDS).flatMap(([word, meaning]) => [
    make('dt', {}, word),
    make('dd', {}, meaning),
  ]);
  const words = make(
    'div',
    { id: 'words', popover: 'auto', role: 'dialog', ariaLabel: 'What is what?' },
    make('dl', {}, ...list),
  );
  element('stage').append(words);
  element('what').onclick = null;
  element('what').popoverTargetElement = words;
  return words;
}
