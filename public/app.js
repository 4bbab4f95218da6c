// The demo page: one connection, and the regions that show what comes over it. Go on with `connection.js`;
// `changebell.js`, the client library, knows nothing of this page.
import { listen } from './connection.js';
import * as customers from './customers.js';
import './lab.js';
import * as log from './log.js';
import './positions.js';
import './server-view.js';
import * as statusBar from './status-bar.js';

document.documentElement.classList.toggle('present', new URLSearchParams(location.search).has('present'));

listen({
  onEntry(entry) {
    customers.apply(entry.event);
    log.receive(entry);
    statusBar.receive(entry);
  },
  onBar: log.addBar,
  onSnapshotNeeded: customers.load,
});
