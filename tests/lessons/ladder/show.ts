// Serves the stage as a page: the scene as server-sent events, the page's buttons as POSTs. For this machine
// alone.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { compare } from '../diff.ts';
import { fileOf, RUNGS } from './rung.ts';
import { type Scene, Stage } from './stage.ts';

const LOOK_MS = 250; // what waits in the rung's memory changes without a word
const FILES: Record<string, string> = { '/': 'show.html', '/show.css': 'show.css', '/show.js': 'show.js' };
const TYPES = { html: 'text/html', css: 'text/css', js: 'text/javascript' };

/** Runs until Ctrl+C. */
export async function showRung(first: number, port: number): Promise<void> {
  let stage = Stage.open(first); // a promise: what is pressed while a rung starts waits for it
  const pages = new Set<ServerResponse>();
  let last = '';

  function tell(scene: string): void {
    if (scene !== last) for (const page of pages) page.write(`data: ${scene}\n\n`);
    last = scene;
  }

  async function show(): Promise<void> {
    const shown = stage;
    const scene = JSON.stringify(await (await shown).scene());
    if (shown === stage) tell(scene); // else another rung was chosen meanwhile
  }

  /** Its source is shown at once, the people when it runs. One that can't start has said why in the terminal. */
  async function change(number: number): Promise<void> {
    const closed = stage.then(
      (before) => before.close(),
      () => {},
    );
    stage = closed.then(() => Stage.open(number));
    tell(JSON.stringify({ rung: number, saved: [], waitingBytes: 0, people: [] } satisfies Scene));
    await begin();
  }

  async function begin(): Promise<void> {
    (await stage).onChange = refresh;
    await show();
  }

  const refresh = () => void show().catch(() => {});

  async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { pathname } = new URL(req.url ?? '/', 'http://ladder');
    const rung = /^\/rung\/([1-7])$/.exec(pathname)?.[1];
    if (pathname === '/scene') {
      res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
      pages.add(res);
      res.on('close', () => pages.delete(res));
      last = '';
      return refresh();
    }
    if (req.method === 'POST') {
      const { order, who, number } = (await json(req)) as { order: string; who?: string; number?: number };
      await (order === 'rung' ? change(number ?? 1) : (await stage).obey(order, who));
      return void res.writeHead(204).end();
    }
    if (rung) return sendJson(res, { files: RUNGS, lines: sourceOf(Number(rung)) });
    sendFile(res, pathname);
  }

  const server = createServer((req, res) => {
    answer(req, res).catch((error: Error) => res.writeHead(400).end(error.message));
  });
  await begin();
  setInterval(refresh, LOOK_MS);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  console.log(`The ladder: http://localhost:${(server.address() as AddressInfo).port}/ (Ctrl+C ends it)`);
}

function sendFile(res: ServerResponse, path: string): void {
  const name = Object.hasOwn(FILES, path) ? FILES[path] : undefined;
  if (!name) return void res.writeHead(404).end();
  const type = TYPES[name.split('.')[1] as keyof typeof TYPES];
  res
    .writeHead(200, { 'Content-Type': `${type}; charset=utf-8` })
    .end(readFileSync(new URL(name, import.meta.url)));
}

function sendJson(res: ServerResponse, value: unknown): void {
  res.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
}

/** The lines of a rung; marked are those that the rung below has not. */
function sourceOf(number: number) {
  const text = readFileSync(fileOf(number), 'utf8').trimEnd();
  const below = number === 1 ? text : readFileSync(fileOf(number - 1), 'utf8').trimEnd();
  const lines = compare(below, text).filter(({ mark }) => mark !== '-');
  return lines.map((line) => ({ text: line.text, isNew: line.mark === '+' && !line.text.startsWith('//') }));
}
