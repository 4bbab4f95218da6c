// What the peers that only tell share: a `node:http` server whose POST hands its body to everyone, with no
// database and no log. Their notification is as long as ours.
import { createServer } from 'node:http';

let id = 0;

/** @param {string} body */
export function envelope(body) {
  id += 1;
  return (
    `{"specversion":"1.0","id":"9c41e2f0-${id}","source":"/api/events","type":"notification",` +
    `"time":"${new Date().toISOString()}","data":${body}}`
  );
}

export function createBroadcaster(send) {
  return createServer((req, res) => {
    const chunks = [];
    req.on('data', (chunk) => chunks.push(chunk));
    req.on('end', () => {
      const text = envelope(Buffer.concat(chunks).toString());
      send(text);
      res.writeHead(201, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
      res.end(text);
    });
  });
}

export function listen(server) {
  server.listen(0, '127.0.0.1', () => console.log(`http://localhost:${server.address().port}`));
}
