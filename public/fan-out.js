// Up to four more clients beside those of the stage: each a real connection, in a Worker of its own. What
// one of them suffers, the others never notice. Fetched when the first is wanted.
import { auth } from './api.js';
import { button, count, element, make, onPaint, paintSoon, seqOf, setMark, setText, show } from './dom.js';
import { SEATS, takeSeat } from './seats.js';
import { server } from './server.js';
import { names } from './server-view.js';

const NAMES = ['A', 'B', 'C', 'D'];
const WORDS = new Map(Object.entries({ live: 'Live', 'catching-up': 'Catching up', closed: 'Cut' }));

const lanes = /** @type {Lane[]} */ ([]); // in the order in which they were asked for

/**
 * Adds a client, unless there are four. In a Worker, since a slow reader in the page itself makes no backpressure:
 * there the browser reads on for it. @param {string} wanted the transport
 */
export async function add(wanted, isSlow = false) {
  const name = NAMES.find((letter) => lanes.every((lane) => lane.name !== letter));
  if (!name) return;
  const worker = new Worker('/client.js', { type: 'module' });
  /** @type {Lane} */
  const lane = { name, transport: wanted, isSlow, report: { state: 'connecting', lastEventId: '' }, worker };
  lanes.push(lane); // before the first await: its name is taken
  await takePlace(lane);
  lane.row = laneRow(lane);
  element('lanes').append(lane.row);
  // It reports at most ten times a second: a flood must not become a flood of messages from Worker to page.
  worker.onmessage = ({ data }) => {
    lane.report = data;
    if (data.client) names.set(data.client, name);
    paintSoon();
  };
  // The Worker has another base than the page, so it gets the whole address.
  const { href } = new URL(lane.transport === 'WebSocket' ? '/ws' : '/api/events', location.href);
  worker.postMessage({ url: href, heartbeatSeconds: server.heartbeatSeconds, token: auth.token, isSlow });
  paintSoon();
}

/** An event stream needs a seat; where there is none, a WebSocket does as well. @param {Lane} lane */
async function takePlace(lane) {
  show('lanes-note', '');
  if (lane.transport === 'WebSocket') return;
  lane.leave = await takeSeat();
  if (lane.leave) return;
  lane.transport = 'WebSocket';
  const why = `A browser opens only six connections to one server, for all tabs together, and ${SEATS} of them already are event streams.`;
  show(
    'lanes-note',
    `${why} So client ${lane.name} came over a WebSocket, which does not count among the six.`,
  );
}

/** Its line, made once and only filled anew afterwards: the focus on its buttons stays. @param {Lane} lane */
function laneRow(lane) {
  const { name, transport, worker } = lane;
  // The stage's own mark, copied: a state has one shape all over the page.
  const mark = element('mark').cloneNode(true);
  mark.removeAttribute('id');
  const facts = [make('b', {}, name), mark, make('span', {}), make('small', {}, transport)];
  const actions = [
    button('Cut', () => worker.postMessage({ isCut: lane.report.state !== 'closed' })),
    button('Slow down', () => {
      lane.isSlow = !lane.isSlow;
      worker.postMessage({ isSlow: lane.isSlow });
      paintSoon();
    }),
    button('Remove', () => remove(lane)),
  ];
  return make('li', {}, make('p', {}, ...facts), make('p', { className: 'actions' }, ...actions));
}

/** At once, without a goodbye: the server learns of it by the closed connection. @param {Lane} lane */
function remove(lane) {
  lane.worker.terminate(); // its connection goes with it
  lane.leave?.();
  lanes.splice(lanes.indexOf(lane), 1);
  show('lanes-note', '');
  paint(); // now, not in the next frame: a disabled button can't take the focus
  element('add-client').focus();
  lane.row.remove();
}

/** How far it is behind, by the newest position that the page has heard of. @param {Lane} lane */
function paintLane({ name, report: { state, lastEventId }, isSlow, row }) {
  if (!row) return; // it still waits for its seat
  const [facts, { children: actions }] = row.children;
  const seq = seqOf(lastEventId);
  const behind = lastEventId && server.head > seq ? `, ${count(server.head - seq)} behind` : '';
  facts.dataset.state = state;
  // A lane that was cut by hand is closed for its library; for people it is what the stage calls cut.
  setMark(facts.children[1], state === 'closed' ? 'waiting' : state);
  setText(facts.children[2], `${WORDS.get(state) ?? 'Connecting…'} at ${count(seq)}${behind}`);
  setText(actions[0], state === 'closed' ? 'Resume' : 'Cut');
  actions[1].ariaPressed = String(isSlow);
  // Three buttons of the same name in each line: spoken alone, each says whose it is.
  for (const action of actions) action.ariaLabel = `${action.textContent} client ${name}`;
}

function paint() {
  lanes.forEach(paintLane);
  element('add-client').disabled = lanes.length >= NAMES.length;
}

onPaint(paint);
