// µWebSockets.js: HTTP, WebSocket and publish/subscribe in native code.
import uws from '@trufflesuite/uws-js-unofficial';
import { envelope } from './broadcast.js';

const app = uws.App();
app.ws('/ws', {
  maxBackpressure: 1024 * 1024,
  open: (socket) => {
    socket.subscribe('all');
    socket.send('{"type":"hello"}');
  },
});
app.post('/api/events', (res) => {
  const chunks = [];
  res.onAborted(() => {});
  res.onData((chunk, isLast) => {
    chunks.push(Buffer.from(chunk.slice(0))); // its memory is taken back after this call
    if (!isLast) return;
    const text = envelope(Buffer.concat(chunks).toString());
    app.publish('all', text);
    res.cork(() => res.writeStatus('201 Created').writeHeader('Content-Type', 'application/json').end(text));
  });
});
app.listen('127.0.0.1', 0, (socket) => console.log(`http://localhost:${uws.us_socket_local_port(socket)}`));
