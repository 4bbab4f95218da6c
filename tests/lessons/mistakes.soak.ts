// What learners write instead: each likely mistake is met by a sentence of its own, and another right solution than
// ours is as green as ours.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Copy } from '../mutate/copy.ts';
import { runChecks } from './checks/run.ts';
import { LESSONS } from './lessons.ts';

/** Instead of the lines of one edit of a lesson (from 0), `put`; `says` is the first sentence, none where it is right. */
type Attempt = { lesson: number; edit?: number; put: string; says?: RegExp };

const ATTEMPTS: Record<string, Attempt> = {
  'a 400 for a wrong method': {
    lesson: 1,
    put: "throw new Problem(400, 'Not so.');",
    says: /answered with 400/,
  },
  'a 405 without Allow': { lesson: 1, put: "throw new Problem(405, 'Not so.');", says: /no such header/ },
  'no answer at all': { lesson: 1, put: 'return;', says: /no answer at all/ },
  'an answer that goes round the boundary': {
    lesson: 1,
    put: 'return void call.res.writeHead(405, { Allow: allowed }).end();',
    says: /no problem document says why/,
  },
  'the small byte first': {
    lesson: 2,
    put: 'bytes[start + 1] = 126; bytes.writeUInt16LE(length, start + 2);',
    says: /has 126 bytes, and its header says 32256/,
  },
  'both bytes by hand': { lesson: 2, put: 'bytes.set([126, length >> 8, length & 255], start + 1);' },
  'the Set that forgets nobody': {
    lesson: 3,
    edit: 1,
    put: 'this.clients.has(client); this.heartbeats.announceCount();',
    says: /The last page has gone, and the Set holds [12]/,
  },
  'only the first client': {
    lesson: 3,
    edit: 2,
    put: 'for (const client of this.clients) { this.enqueue(client); break; }',
    says: /Ada was told: (1|nothing)\. Bob was told: (1|nothing)/,
  },
  'forEach instead of a loop': {
    lesson: 3,
    edit: 2,
    put: 'this.clients.forEach((client) => this.enqueue(client));',
  },
  'an event of another type': {
    lesson: 4,
    put: "INSERT INTO changebell_events (type) VALUES ('customer.new');",
    says: /type is customer\.new, and should be customer\.created/,
  },
  'an event without its data': {
    lesson: 4,
    put: "INSERT INTO changebell_events (type, source) VALUES ('customer.created', '/api/customers/' || NEW.id);",
    says: /data should be the customer as the API shows it/,
  },
  'one too many seen': {
    lesson: 5,
    put: 'const start = asked && !isOldest ? { ...asked, seq: asked.seq + 1 } : isOldest ? pruned : head;',
    says: /She was told: (4|nothing)\./,
  },
  'sent away though nothing is lost': {
    lesson: 5,
    edit: 1,
    put: "if (seq <= pruned.seq) return 'expired'; if (seq > head.seq) return 'ahead'; return stamp === stampThere ? undefined : 'unknown-log';",
    says: /from the last that is gone: nothing is lost, and the answer was 410/,
  },
  'the stamps first': {
    lesson: 5,
    edit: 1,
    put: "if (stamp !== stampThere) return 'unknown-log'; if (seq > head.seq) return 'ahead'; return seq < pruned.seq ? 'expired' : undefined;",
    says: /must be told 'ahead', and was told: unknown-log/,
  },
  'seen, and not marked': { lesson: 6, edit: 1, put: '', says: /MB wait for her in our memory/ },
  'half a megabyte more': {
    lesson: 6,
    put: 'if (out.writableLength > 3 * HIGH_WATER_BYTES) this.waitForDrain();',
  },
  'marked, and never seen': { lesson: 6, edit: 0, put: '', says: /MB wait for her in our memory/ },
  'a name that ends like ours': {
    lesson: 7,
    put: 'if ([...this.hosts].some((own) => host.endsWith(own) || this.hosts!.has(host.replace(/:\\d*$/, "")))) return;',
    says: /Host: notlocalhost got in/,
  },
  'a wake that never comes': {
    lesson: 8,
    put: 'return this.seenVersion === undefined;',
    says: /for 0\.\d s nobody has noticed/,
  },
};

describe('a learner writes', { concurrency: 3 }, () => {
  for (const [what, { lesson, edit = 0, put, says }] of Object.entries(ATTEMPTS)) {
    test(`${what}, in lesson ${lesson}${says ? '' : ', which is right'}`, async () => {
      const { file, find } = LESSONS[lesson - 1]!.edits[edit]!;
      const copy = new Copy();
      const { results, trouble } = await copy.broken([{ file, find, put: `${put}\n` }], () =>
        runChecks(copy.folder, lesson, { patienceMs: says ? 1500 : 20_000, limitMs: 60_000 }),
      );
      const why = results.find((result) => result.why !== undefined)?.why;
      assert.equal(trouble, undefined);
      if (says) assert.match(why ?? 'nothing', says);
      else assert.equal(why, undefined);
    });
  }
});
