// The demo page: one connection, and the regions that show what comes over it. Begin with
// `connection.js`; `changebell.js` is the client library, and knows nothing of this page.
import { createConnection } from './connection.js';
import { createCustomers } from './customers.js';
import { paintSoon } from './dom.js';
import { createAddForm } from './editor.js';
import { createFanOut } from './fan-out.js';
import { inspect } from './inspector.js';
import { createLab } from './lab.js';
import { createLog } from './log.js';
import { createPositions } from './positions.js';
import { createServerView } from './server-view.js';
import { createStatusBar } from './status-bar.js';

const isPresenting = new URLSearchParams(location.search).has('present');
document.documentElement.classList.toggle('present', isPresenting);

const connection = createConnection({
  onEntry(entry) {
    customers.apply(entry.event);
    log.receive(entry);
    statusBar.receive(entry);
  },
  onBar: (text, isLoss) => log.addBar(text, isLoss),
  onSnapshotNeeded: () => customers.load(),
});
const statusBar = createStatusBar(connection);
const customers = createCustomers(connection.ledger.missing);
const log = createLog(inspect);
createAddForm();
createPositions(connection);
if (!isPresenting) {
  const fanOut = createFanOut(connection);
  createServerView(connection, fanOut.nameOf);
  createLab(connection, fanOut);
}
connection.start();
paintSoon();
