// The demo page: one connection, and the regions that show what comes over it. Begin with
// `connection.js`; `changebell.js` is the client library, and knows nothing of this page.
import { start } from './connection.js';
import * as customers from './customers.js';
import * as log from './log.js';
import './positions.js';
import * as statusBar from './status-bar.js';

const isPresenting = new URLSearchParams(location.search).has('present');
document.documentElement.classList.toggle('present', isPresenting);
if (!isPresenting) Promise.all([import('./server-view.js'), import('./lab.js')]);

start({
  onEntry(entry) {
    customers.apply(entry.event);
    log.receive(entry);
    statusBar.receive(entry);
  },
  onBar: log.addBar,
  onSnapshotNeeded: customers.load,
});
