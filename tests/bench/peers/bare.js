// The ceiling: a bare `node:http` server that parses the same body and has no database.
import { createServer } from 'node:http';

let id = 0;
const server = createServer((req, res) => {
  const chunks = [];
  req.on('data', (chunk) => chunks.push(chunk));
  req.on('end', () => {
    id += 1;
    const body = JSON.stringify({ id, ...JSON.parse(Buffer.concat(chunks).toString()) });
    res.writeHead(201, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
    res.end(body);
  });
});
server.listen(0, '127.0.0.1', () => console.log(`http://localhost:${server.address().port}`));
