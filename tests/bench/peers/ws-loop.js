// A loop over the sockets of `ws`.
import { WebSocketServer } from 'ws';
import { createBroadcaster, listen } from './broadcast.js';

const server = createBroadcaster((text) => {
  for (const socket of sockets.clients) if (socket.readyState === socket.OPEN) socket.send(text);
});
const sockets = new WebSocketServer({ server, path: '/ws', perMessageDeflate: false });
sockets.on('connection', (socket) => socket.send('{"type":"hello"}'));
listen(server);
