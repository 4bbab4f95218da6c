// The house has floors, and imports point down only: whoever reads a file needs those below it, never those
// above. Beside each other files may stand, as long as none needs what needs it.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from './helpers.ts';

const FLOORS = [
  ['problem', 'config', 'group-commit', 'sqlite'],
  ['customer', 'event', 'http', 'access'],
  ['store', 'frames'],
  [
    'chunks',
    'heartbeats',
    'hub',
    'watch',
    'sqlite-file',
    'sqlite-statements',
    'sqlite-store',
    'sqlite-watch',
  ],
  ['postgres-connection', 'postgres-store', 'postgres-watch'],
  ['connections', 'customers-api', 'event-stream', 'events-api', 'health', 'static-files', 'websocket'],
  ['listen', 'app'],
];

const files = readdirSync(join(ROOT, 'lib')).filter((file) => file.endsWith('.ts'));
const names = files.map((file) => file.replace('.ts', ''));
const floorOf = (name: string) => FLOORS.findIndex((floor) => floor.includes(name));

/** The files of `lib/` that this one imports; those of which it only needs a type, or the others. */
function importsOf(name: string, kind: 'all' | 'values' = 'all'): string[] {
  const text = readFileSync(join(ROOT, 'lib', `${name}.ts`), 'utf8');
  const imports = text.matchAll(/^import (type )?[^;]*?from '\.\/([\w-]+)\.ts';/gm);
  return [...imports].filter(([, type]) => kind === 'all' || !type).map(([, , file]) => file!);
}

test('every file of lib/ has its floor', () => {
  assert.deepEqual(
    names.filter((name) => floorOf(name) < 0),
    [],
  );
  assert.deepEqual(
    FLOORS.flat().filter((name) => !names.includes(name)),
    [],
  );
});

test('imports point down only', () => {
  const upward = names.flatMap((name) =>
    importsOf(name)
      .filter((file) => floorOf(file) > floorOf(name))
      .map((file) => `${name} imports ${file}`),
  );
  assert.deepEqual(upward, []);
});

test('no file needs what needs it', () => {
  const reaches = (from: string, to: string, seen = new Set<string>()): boolean =>
    importsOf(from, 'values').some((file) => {
      if (file === to) return true;
      if (seen.has(file)) return false;
      seen.add(file);
      return reaches(file, to, seen);
    });
  assert.deepEqual(
    names.filter((name) => reaches(name, name)),
    [],
  );
});
