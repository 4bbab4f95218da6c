// json-server on a file, as its README starts it.
import { writeFileSync } from 'node:fs';
import jsonServer from 'json-server';

const file = `${process.env.DATABASE_URL}.json`;
writeFileSync(file, '{"customers":[]}');
const app = jsonServer.create();
app.use(jsonServer.bodyParser);
app.use('/api', jsonServer.router(file));
const server = app.listen(0, '127.0.0.1', () => console.log(`http://localhost:${server.address().port}`));
