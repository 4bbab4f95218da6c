// Up to four more clients beside those of the stage: each a real connection, in a Worker of its own. What
// one of them suffers, the others never notice. Fetched when the first is wanted.
import { auth } from './api.js';
import { button, count, element, make, onPaint, paintSoon, seqOf, setMark, setText, show } from './dom.js';
import { SEATS, takeSeat } from './seats.js';
import { server } from './server.js';
import { names } from './server-view.js';

const NAMES = ['A', 'B', 'C', 'D'];
const WORDS = new Map(Object.entries({ live: 'Live', 'catching-up': 'Catching up', closed: 'Cut' }));

const lanes = /** @type {Lane[]} */ ([]);

/** @param {string} wanted the transport */
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
  worker.onmessage = ({ data }) => {
    lane.report = data;
    if (data.client) names.set(data.client, name);
    paintSoon();
  };
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

/** @param {Lane} lane */
function laneRow(lane) {
  const { name, transport, worker } = lane;
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

/** @param {Lane} lane */
function remove(lane) {
  lane.worker.terminate();
  lane.leave?.();
  lanes.splice(lanes.indexOf(lane), 1);
  show('lanes-note', '');
  paint();
  element('add-client').focus();
  lane.row.remove();
}

/** @param {Lane} lane */
function paintLane({ name, report: { state, lastEventId }, isSlow, row }) {
  if (!row) return;
  const [facts, { children: actions }] = row.children;
  const seq = seqOf(lastEventId);
  const behind = lastEventId && server.head > seq ? `, ${count(server.head - seq)} behind` : '';
  facts.dataset.state = state;
  setMark(facts.children[1], state === 'closed' ? 'waiting' : state);
  setText(facts.children[2], `${WORDS.get(state) ?? 'Connecting…'} at ${count(seq)}${behind}`);
  setText(actions[0], state === 'closed' ? 'Resume' : 'Cut');
  actions[1].ariaPressed = String(isSlow);
  for (const action of actions) action.ariaLabel = `${action.textContent} client ${name}`;
}

function paint() {
  lanes.forEach(paintLane);
  element('add-client').disabled = lanes.length >= NAMES.length;
}

onPaint(paint);
