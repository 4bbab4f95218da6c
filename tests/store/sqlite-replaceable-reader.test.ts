// Reads of a file that is replaced while the program runs. Here the thread that writes is a stand-in, so that the file
// can be taken away at the one moment that counts: after the thread has opened it, before it is opened to read.
import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Problem } from '../../lib/problem.ts';
import { SqliteReader } from '../../lib/store/sqlite-reader.ts';
import { ReplaceableReader } from '../../lib/store/sqlite-replaceable-reader.ts';
import type { SqliteThread } from '../../lib/store/sqlite-thread.ts';
import { eventually, temporaryFolder } from '../support/helpers.ts';
import { openStore } from '../support/open-store.ts';

test('a file that goes away once more while it is opened anew is a 503, and is read when it is back', async () => {
  const path = join(temporaryFolder(), 'twice.db');
  await (await openStore({ DATABASE_URL: path })).close();
  const ask = async () => {
    renameSync(path, `${path}.away`);
    return {};
  };
  const thread = { ask } as unknown as SqliteThread;
  const reader = new ReplaceableReader(() => new SqliteReader(path, new Set()), thread);
  const read = () => reader.read((at) => at.position().head.seq);
  assert.equal(await read(), 0);
  thread.onReplaced('The database file was replaced by another.');
  const status = () => read().catch((error) => error instanceof Problem && error.message);
  await eventually(status, (said) => /cannot be/.test(`${said}`), 'the reason is that it cannot be opened');
  renameSync(`${path}.away`, path);
  assert.equal(await read(), 0);
  reader.close();
});
