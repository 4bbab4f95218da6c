// The files of `public/`, and nothing outside it: every path is resolved to the real file and must
// still lie inside. Read anew for each request, so that an edited page shows at the next reload.
import { readFile, realpath, stat } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { etagOf, isKnown } from '../etag.ts';
import { Problem, unavailable } from '../problem.ts';
import { Shared } from '../shared.ts';
import type { Refusals } from './refusals.ts';
import type { Call } from './request.ts';
import { sendBody, sendEmpty } from './response.ts';

// From this file's own place: the program may be started in any folder.
const PUBLIC = fileURLToPath(new URL('../../public', import.meta.url));
// By the name's end alone. With `nosniff` a browser doesn't guess, so a type that is missing here is a download.
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.json': 'application/json; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
  '.ts': 'text/plain; charset=utf-8', // declarations, for people who look: browsers never load them
};
// The page loads nothing from elsewhere and runs no script of its HTML, so text that gets into it stays text.
// It can't be put into a frame of another page either, which could lead a reader's clicks.
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
  "worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
// Said of a path, these mean that nothing is there for a visitor, whatever the reason is.
const NOT_THERE = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP', 'EACCES', 'EISDIR']);

/** A real file; or the path under which its folder is to be asked for, with a slash at the end. */
export type Found = { file: string } | { redirect: string };

/** The files of `public/`, unless another folder is named. None of them stays in memory from one request to the next. */
export function createStaticFiles(refusals: Refusals, folder = PUBLIC) {
  /** Files that are being read: one that is asked for a thousand times at once takes one descriptor. */
  const reading = new Shared<Buffer>();

  /** What isn't there is no error. What can't be read is one, and not the caller's: a 404 would be believed. */
  function tellUnreadable(error: unknown): undefined {
    const { code } = error as NodeJS.ErrnoException;
    // Without a code it is no error of the system but a mistake of ours: a 500.
    if (code === undefined) throw error;
    if (NOT_THERE.has(code)) return undefined;
    refusals.add(code === 'EMFILE' || code === 'ENFILE' ? 'files' : 'disk');
    throw unavailable(`The file cannot be read just now (${code}): try again in a moment.`);
  }

  return {
    /**
     * The real file that a path of a URL names; undefined if there is none that may be shown. Escapes in `path` are good:
     * see `parseTarget`. @throws {Problem} 503 it can't be read just now
     */
    async find(path: string): Promise<Found | undefined> {
      const name = decodeURIComponent(path);
      if (/\0|\\|\/\.|\/\//.test(name)) return undefined; // NUL, Windows' separator, dot files and .., the absolute
      return findInRoot(folder, name).catch(tellUnreadable);
    },

    /** Answers with the file, or 304 if the caller has it. @throws {Problem} 404 it went meanwhile, 503 as `find` */
    async send({ req, res }: Call, found: Found): Promise<void> {
      if ('redirect' in found) {
        // Browsers ask again each time: without this a 301 may be kept for ever, and the folder may be gone by then.
        const headers = { Location: found.redirect, 'Cache-Control': 'no-cache', 'Content-Length': '0' };
        return sendEmpty(res, 301, headers);
      }
      const { file } = found;
      const content = await reading.get(file, () => readFile(file)).catch(tellUnreadable);
      if (content === undefined) throw new Problem(404, 'There is nothing here.');
      const etag = etagOf(content); // and not of its date: a file that was copied anew isn't sent again
      // `no-cache` lets a browser keep the file, and makes it ask whether that is still the one.
      const headers = { ETag: etag, 'Cache-Control': 'no-cache', 'Content-Security-Policy': POLICY };
      if (isKnown(req, etag)) return sendEmpty(res, 304, headers);
      const type = TYPES[extname(file)] ?? 'application/octet-stream';
      sendBody(res, 200, content, headers, { 'Content-Type': type, 'Referrer-Policy': 'no-referrer' });
    },
  };
}

/** @throws what the system says of a path, also where nothing is there */
async function findInRoot(folder: string, name: string): Promise<Found | undefined> {
  const root = await realpath(folder);
  const file = await realpath(join(root, name.endsWith('/') ? `${name}index.html` : name));
  // Asked of the real path: a symbolic link that leads out is refused with all other ways out.
  if (!file.startsWith(root + sep)) return undefined;
  const stats = await stat(file);
  if (stats.isFile()) return { file };
  if (!stats.isDirectory() || !(await stat(join(file, 'index.html'))).isFile()) return undefined;
  // Made of the real path and not of the caller's words, so it can't lead to another site.
  return { redirect: `/${relative(root, file).split(sep).map(encodeURIComponent).join('/')}/` };
}
