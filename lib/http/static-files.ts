// The files of `public/`, and nothing outside it: every path is resolved to the real file and must
// still lie inside. Read anew for each request, so that an edited page shows at the next reload.
import { createHash } from 'node:crypto';
import { readFile, realpath, stat } from 'node:fs/promises';
import { extname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { matchesWeakly, parseEtagList } from '../etag.ts';
import { Problem } from '../problem.ts';
import type { Call } from './request.ts';
import { sendEmpty } from './response.ts';

const ROOT = fileURLToPath(new URL('../../public', import.meta.url));
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.json': 'application/json; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
};
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
  "worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/** The real file that a path of a URL names; undefined if there is none that may be shown. */
export async function findStaticFile(path: string): Promise<string | undefined> {
  const name = path === '/' ? '/index.html' : decodeURIComponent(path);
  if (/\0|\\|\/\.|\/$/.test(name)) return undefined; // NUL, Windows' separator, dot files and .., folders
  try {
    const file = await realpath(join(ROOT, name));
    const isInside = file.startsWith((await realpath(ROOT)) + sep);
    return isInside && (await stat(file)).isFile() ? file : undefined;
  } catch {
    return undefined;
  }
}

/** Answers with the file, or 304 if the caller has it. */
export async function sendStaticFile({ req, res }: Call, file: string): Promise<void> {
  const noneMatch = parseEtagList(req.headers['if-none-match'], 'If-None-Match');
  const content = await readFile(file).catch(() => {
    throw new Problem(404, 'There is nothing here.');
  });
  const etag = `"${createHash('sha1').update(content).digest('base64url')}"`;
  const headers = { ETag: etag, 'Cache-Control': 'no-cache', 'Content-Security-Policy': POLICY };
  if (noneMatch && matchesWeakly(noneMatch, etag)) return sendEmpty(res, 304, headers);
  res.writeHead(200, {
    'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
    'Content-Length': content.length,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    ...headers,
  });
  res.end(content);
}
