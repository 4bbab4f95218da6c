// The demo page: two clients of one server, and the regions that show what comes over them. Begin with
// `connection.js` and `loop.js`: what the two do after a break is all that differs.
import { auth } from './api.js';
import './bar.js';
import { connection } from './connection.js';
import { customers } from './customers.js';
import { make, paintSoon, withModule } from './dom.js';
import * as figures from './figures.js';
import './forms.js';
import './lab.js';
import * as log from './log.js';
import { loop } from './loop.js';
import { recall, remember } from './memory.js';
import './positions.js';
import { learn } from './server.js';
import './stage.js';
import * as summary from './summary.js';

if (new URLSearchParams(location.search).has('present'))
  document.head.append(make('link', { rel: 'stylesheet', href: 'present.css' }));

/** @type {{ cursor?: string, entries?: Entry[] }} */
const before = recall('log') ?? {};
let isNew = !before.cursor; // to this tab
log.addEarlier(before.entries ?? [], 'The page was loaded anew here.');
// The cursor and what stands in the log are one: what comes after a reload follows what is shown.
addEventListener('pagehide', () => {
  remember('log', { cursor: connection.lastEventId, entries: log.lastEntries() });
});

auth.onChange = () => {
  connection.reopen();
  if (!customers.isLoaded) void customers.load();
};

if (location.hash) await withModule('token', ({ takeFromLink }) => takeFromLink());
paintSoon(); // the first word does not wait for the server
await learn(); // how often heartbeats come: to tell silence from quiet
connection.start(
  {
    onEntry(entry) {
      customers.apply(entry.event);
      for (const { noteEntry } of [log, figures, summary]) noteEntry(entry);
    },
    onBar: log.addBar,
    onSnapshotNeeded() {
      void customers.load();
      if (isNew) withModule('earlier', ({ show }) => show(connection.ledger.start));
      isNew = false;
    },
  },
  before.cursor,
);
loop.connect();
