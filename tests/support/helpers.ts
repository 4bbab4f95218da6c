// What the tests share: a real server in its own process on a free port, and clients that talk to it
// as anyone would: a WebSocket, a stream of server-sent events, JSON over HTTP, and bare TCP.
// Whatever a client receives is kept in order until a test asks for it, so no test has to sleep.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type ClientOptions, WebSocket } from 'ws';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PATIENCE_MS = 30_000; // a slow machine that does other things as well needs some

const folders = new Set<string>();
const running = new Set<ChildProcess>();

// A test that failed may have left its server behind, and with its pipes this process would not end.
const killLeftOvers = () => {
  for (const child of running) child.kill('SIGKILL');
};
if (process.env.NODE_TEST_CONTEXT) after(killLeftOvers); // benchmarks use this file too, and are no tests
process.once('exit', () => {
  killLeftOvers();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A CloudEvent as it comes over the wire. `data` is whatever was stored. */
export type Frame = {
  specversion: string;
  id: string;
  source: string;
  type: string;
  time: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into data of any shape, and fails if it is another.
  data: any;
};

export type Exit = { code: number | null; signal: NodeJS.Signals | null };

export type Server = Awaited<ReturnType<typeof startServer>>;

/**
 * For `test(…, { skip: skipWithout('/usr/bin/chromium', 'chromium') }, …)`: false where the program is there,
 * else one line that says how to get it. In CI nothing is skipped: there the test runs, and fails.
 */
export function skipWithout(file: string | undefined, debianPackage: string): string | false {
  if (process.env.CI || (file !== undefined && existsSync(file))) return false;
  return `needs ${debianPackage}: apt-get install ${debianPackage}`;
}

/** A fresh folder, removed when this process ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'changebell-'));
  folders.add(folder);
  return folder;
}

/** Starts the program with these variables and no others of ours; it has not necessarily come up yet. */
export function launch(env: Record<string, string> = {}) {
  const { PATH = '', HOME = '', TMPDIR = '' } = process.env;
  const child = spawn(process.execPath, ['--import', 'tsx', 'server.ts'], {
    cwd: ROOT,
    env: { PATH, HOME, TMPDIR, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const exited = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  running.add(child);
  void exited.then(() => running.delete(child));
  return { child, output, exited };
}

/** A server that listens: on a free port, with a database of its own unless `env` names one. */
export async function startServer(env: Record<string, string> = {}) {
  const databaseFile = env.DATABASE_URL ?? join(temporaryFolder(), 'test.db');
  const { child, output, exited } = launch({ PORT: '0', DATABASE_URL: databaseFile, ...env });
  const wsUrl = await readUrl(child, output, exited);
  const { host, port } = new URL(wsUrl);

  function stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    child.kill(signal);
    return within(exited, `exit after ${signal}`, 8000);
  }

  return {
    url: `http://${host}`,
    wsUrl,
    port: Number(port),
    databaseFile,
    process: child,
    output,
    exited,
    stop,
    kill9: () => stop('SIGKILL'),
  };
}

async function readUrl(
  child: ChildProcess,
  output: { stdout: string; stderr: string },
  exited: Promise<Exit>,
) {
  const deadline = AbortSignal.timeout(PATIENCE_MS);
  for (;;) {
    const [url] = /\bws:\/\/[^\s\x1b]+\/ws\b/.exec(output.stdout) ?? [];
    if (url) return url;
    const failed = exited.then(() => {
      throw new Error(`the server ended before it listened: ${output.stdout}${output.stderr}`);
    });
    await Promise.race([once(child.stdout!, 'data', { signal: deadline }), failed]);
  }
}

/** The same promise, or an error that says what did not come in time. */
export function within<T>(promise: Promise<T>, what: string, ms = PATIENCE_MS): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for: ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Asks again until the answer satisfies; for what has no event to await, such as /api/clients. */
export async function eventually<T>(
  ask: () => Promise<T> | T,
  holds: (answer: T) => boolean,
  what: string,
): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (holds(answer)) return answer;
    if (Date.now() > deadline) throw new Error(`never came true: ${what}; last ${JSON.stringify(answer)}`);
    await delay(20);
  }
}

/** Is this one of the server's own frames, which are never stored? */
export const isOwn = (frame: Frame) => frame.type.startsWith('stream.');

/** Frames in the order they came: those taken by `next` and `until` are read once, `frames` keeps all. */
function createInbox() {
  const frames: Frame[] = [];
  let taken = 0;
  let wake = () => {};
  let end: string | undefined;

  async function take(): Promise<Frame> {
    while (taken >= frames.length) {
      if (end !== undefined) throw new Error(`the stream ended (${end}) after ${frames.length} frames`);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return frames[taken++]!;
  }

  async function takeUntil(predicate: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const frame = await take();
      if (predicate(frame)) return frame;
    }
  }

  return {
    frames,
    add(frame: Frame) {
      frames.push(frame);
      wake();
    },
    end(reason: string) {
      end = reason;
      wake();
    },
    /** The next frame that was not yet taken. */
    next: () => within(take(), 'a frame'),
    /** Takes frames until one satisfies, and returns that. */
    until: (predicate: (frame: Frame) => boolean, ms?: number) =>
      within(takeUntil(predicate), `a frame that satisfies ${predicate}`, ms),
    /** The next stored event, past the server's own frames. */
    nextEvent: () =>
      within(
        takeUntil((frame) => !isOwn(frame)),
        'an event',
      ),
    /** All stored events so far, taken or not. */
    events: () => frames.filter((frame) => !isOwn(frame)),
  };
}

export type ConnectOptions = {
  query?: Record<string, string>;
  headers?: Record<string, string>;
  protocols?: string[];
  options?: ClientOptions;
};

export type Client = Awaited<ReturnType<typeof connect>>;

/** Opens a WebSocket, waits for the handshake, and collects its frames. */
export async function connect(
  wsUrl: string,
  { query = {}, headers = {}, protocols = [], options = {} }: ConnectOptions = {},
) {
  const url = new URL(wsUrl);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  const socket = new WebSocket(url, protocols, { headers, ...options });
  const inbox = createInbox();
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.once('close', (code, reason) => {
      inbox.end(`close ${code}`);
      resolve({ code, reason: String(reason) });
    });
  });
  socket.on('message', (bytes) => inbox.add(JSON.parse(String(bytes))));
  await within(once(socket, 'open'), 'the WebSocket handshake');
  socket.on('error', () => {});
  return {
    ...inbox,
    socket,
    closed,
    close: () => {
      socket.close();
      return closed;
    },
  };
}

export type EventStream = Awaited<ReturnType<typeof openEventStream>>;

/** Opens a stream of server-sent events and takes its blocks apart; `text()` is all of it, as it came. */
export async function openEventStream(url: string, headers: Record<string, string> = {}) {
  const abort = new AbortController();
  const response = await within(
    fetch(url, { headers: { Accept: 'text/event-stream', ...headers }, signal: abort.signal }),
    'the headers of the event stream',
  );
  const inbox = createInbox();
  const blocks: string[] = [];
  let text = '';

  async function readAll(): Promise<void> {
    let rest = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body!) {
      const part = decoder.decode(chunk as Uint8Array, { stream: true });
      text += part;
      const pieces = (rest + part).split('\n\n');
      rest = pieces.pop()!;
      for (const block of pieces) takeBlock(block);
    }
  }

  function takeBlock(block: string): void {
    blocks.push(block);
    const data = block.split('\n').filter((line) => line.startsWith('data:'));
    if (data.length > 0) inbox.add(JSON.parse(data.map((line) => line.replace(/^data: ?/, '')).join('\n')));
  }

  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream');
  const closed = isStream
    ? readAll().then(
        () => inbox.end('end of the response'),
        (error) => inbox.end(String(error)),
      )
    : Promise.resolve();
  return {
    ...inbox,
    response,
    status: response.status,
    blocks,
    text: () => text,
    closed,
    close: () => abort.abort(),
  };
}

/** Sends these bytes over a bare connection; resolves with all that came back until the server closed it. */
export function raw(port: number, request: string | Buffer, ms = PATIENCE_MS): Promise<string> {
  const answer = new Promise<string>((resolve, reject) => {
    let text = '';
    const socket = connectTcp(port, '127.0.0.1', () => socket.write(request));
    socket.setEncoding('latin1').on('data', (part) => {
      text += part;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED' && reject(error));
    socket.on('close', () => resolve(text));
  });
  return within(answer, 'the server to answer and close the connection', ms);
}

/** Status and body of a raw response. */
export function parseRaw(text: string): { status: number; head: string; body: string } {
  const [head = '', ...rest] = text.split('\r\n\r\n');
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0), head, body: rest.join('\r\n\r\n') };
}

/** A whole request by hand, for what `fetch` would mend: paths with dots, a foreign Host. */
export async function rawRequest(
  port: number,
  line: string,
  headers: Record<string, string> = {},
  body = '',
) {
  const fields = { Host: `localhost:${port}`, Connection: 'close', ...headers };
  const head = Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  return parseRaw(await raw(port, `${line} HTTP/1.1\r\n${head}\r\n${body}`));
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of any shape, and fail if it is another.
export type Answer = { status: number; headers: Headers; text: string; body: any };

/** One request; `body` of the answer is parsed if it is JSON of any kind. */
export async function request(method: string, url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, {
    method,
    redirect: 'manual',
    signal: AbortSignal.timeout(PATIENCE_MS),
    ...init,
  });
  const text = await response.text();
  const isJson = /^application\/([\w.-]+\+)?json\b/.test(response.headers.get('content-type') ?? '');
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: isJson && text ? JSON.parse(text) : text,
  };
}

const sendJson =
  (method: string) =>
  (url: string, body: unknown, headers: Record<string, string> = {}) =>
    request(method, url, {
      headers: { 'Content-Type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });

export const post = sendJson('POST');
export const put = sendJson('PUT');
export const patch = sendJson('PATCH');
export const get = (url: string, headers: Record<string, string> = {}) => request('GET', url, { headers });
export const del = (url: string, headers: Record<string, string> = {}) => request('DELETE', url, { headers });

/** The status and the problem that a WebSocket handshake is refused with. */
export async function refusedHandshake(wsUrl: string, headers: Record<string, string> = {}): Promise<Answer> {
  const socket = new WebSocket(wsUrl, { headers });
  const answer = new Promise<Answer>((resolve, reject) => {
    socket.on('error', () => {});
    socket.once('open', () => {
      socket.terminate();
      reject(new Error('the handshake was accepted'));
    });
    socket.once('unexpected-response', (_request, response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.once('end', () => {
        const fields = new Headers();
        for (const [name, value] of Object.entries(response.headers)) fields.set(name, String(value));
        const isJson = /json/.test(fields.get('content-type') ?? '');
        resolve({
          status: response.statusCode ?? 0,
          headers: fields,
          text,
          body: isJson ? JSON.parse(text) : text,
        });
      });
    });
  });
  return within(answer, 'the handshake to be refused');
}

/** Sequence numbers of events: an id is `<log>-<seq>`. */
export const seqOf = (id: string) => Number(id.slice(id.lastIndexOf('-') + 1));
export const seqsOf = (frames: Frame[]) => frames.map((frame) => seqOf(frame.id));

/** first, first + 1, … last */
export const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i);
