// The cable of both clients on the stage: cut together, and brought back together, so that all that
// differs is what each of them does then. An outage lasts until someone ends it, or for eight seconds.
import { connection } from './connection.js';
import { element, paintSoon } from './dom.js';
import { loop } from './loop.js';
import { learn } from './server.js';

const AUTOMATIC_MS = 8000;
const ASK_MS = 500; // quick enough that the counter of what is missed follows each change

export const cable = {
  isOut: false,
  backAt: 0, // when it comes back by itself; 0: it does not
  told: /** @type {(() => Told)[]} */ ([]), // what became of this outage, of either client
  onBack: (/** @type {(() => Told)[]} */ _told) => {},

  cut() {
    this.told = [connection.ledger.note(), loop.ledger.note()];
    connection.cut();
    loop.cut();
    this.stayOut();
  },

  /** The page alone leaves, and with a word. */
  goodbye() {
    connection.goodbye();
    this.stayOut();
  },

  /** Until someone brings it back, or for eight seconds. */
  stayOut(isAutomatic = element('automatic').checked) {
    this.isOut = true;
    this.backAt = isAutomatic ? Date.now() + AUTOMATIC_MS : 0;
    paintSoon();
  },

  bringBack() {
    [this.isOut, this.backAt] = [false, 0];
    connection.bringBack();
    loop.bringBack();
    if (this.told.length > 0) this.onBack(this.told.splice(0));
    paintSoon();
  },
};

/** While they are away one sees what they miss. */
setInterval(() => {
  if (cable.backAt > 0 && Date.now() >= cable.backAt) cable.bringBack();
  if (cable.isOut || connection.mutedUntil > Date.now()) void learn();
}, ASK_MS);

element('automatic').onchange = () => cable.isOut && cable.stayOut();
