// The lessons: which lines are taken out of which file, and what a learner is told who asks for help. What must
// come true again stands in `checks/`, the text in `1.md` to `8.md`.
import { applyEdit, type Edit } from '../mutate/edit.ts';

/** A lesson; the third hint is nearly the solution. */
export type Lesson = {
  number: number;
  title: string;
  minutes: number;
  edits: Edit[];
  hints: [string, string, string];
};

const HUB = 'lib/stream/hub.ts';

export const LESSONS: Lesson[] = [
  {
    number: 1,
    title: 'A request becomes an answer',
    minutes: 8,
    edits: [
      {
        file: 'lib/app.ts',
        // biome-ignore lint/suspicious/noTemplateCurlyInString: it is a piece of source.
        find: '    throw new Problem(405, `${call.path} takes ${allowed}.`, { headers: { Allow: allowed } });\n',
        put:
          '    // LESSON 1: the path is known, the method is not. Say so, and say which methods there are.\n' +
          "    throw new Problem(404, 'There is nothing here.');\n",
      },
    ],
    hints: [
      'A 404 says: look elsewhere. Here the place is right and the method is wrong: which status says that?',
      'It is 405, and RFC 9110 §15.5.6 wants it to come with a header Allow. `allowed` holds its text already.',
      'throw new Problem(405, `…`, { headers: { Allow: allowed } });',
    ],
  },
  {
    number: 2,
    title: 'A message is a header and bytes',
    minutes: 9,
    edits: [
      {
        file: 'lib/stream/frames.ts',
        find: '    bytes[start + 1] = 126;\n    bytes.writeUInt16BE(length, start + 2);\n',
        put:
          '    // LESSON 2: lengths of 126 to 65,535 (RFC 6455 §5.2).\n' +
          '    bytes[start + 1] = 125; // as much as fits\n',
      },
    ],
    hints: [
      'The second byte holds a length up to 125. Two larger values are left for it: what might 126 mean?',
      '126 means: the length stands in the next two bytes. The branch below does the same with 127 and eight.',
      'bytes[start + 1] = 126;  and then  bytes.writeUInt16BE(length, start + 2);',
    ],
  },
  {
    number: 3,
    title: 'The Set',
    minutes: 11,
    edits: [
      {
        file: HUB,
        find: '    this.clients.add(client);\n',
        put: '    // LESSON 3, 1 of 3: a client has come.\n',
      },
      {
        file: HUB,
        find: '    if (this.clients.delete(client)) this.heartbeats.announceCount();\n',
        put: '    // LESSON 3, 2 of 3: a client has gone.\n    this.heartbeats.announceCount();\n',
      },
      {
        file: HUB,
        find: '    for (const client of this.clients) this.enqueue(client);\n',
        put: '    // LESSON 3, 3 of 3: the log has grown. Whom does that concern?\n',
      },
    ],
    hints: [
      'There is a Set called `clients`. Who puts anything into it, and who takes anything out?',
      'this.enqueue(client) says that this client may be owed something. When the log has grown, of whom is that true?',
      '1: this.clients.add(client);  2: this.clients.delete(client);  3: for (const client of this.clients) this.enqueue(client);',
    ],
  },
  {
    number: 4,
    title: 'Commit, then tell',
    minutes: 11,
    edits: [
      {
        file: 'lib/store/sqlite-customers.sql',
        find:
          '  INSERT INTO changebell_events (type, source, data)\n' +
          "  SELECT 'customer.created', '/api/customers/' || id, json FROM changebell_customers WHERE id = NEW.id;\n",
        put: '  SELECT 1; -- LESSON 4: a row was inserted. Write its event here, in the same transaction.\n',
      },
    ],
    hints: [
      'A trigger runs inside the transaction of whoever inserts. What would have to be written, and into which table?',
      'changebell_events wants type, source and data. The view changebell_customers has the JSON of the row NEW.id.',
      "INSERT INTO changebell_events (type, source, data) SELECT 'customer.created', '/api/customers/' || id, json FROM …",
    ],
  },
  {
    number: 5,
    title: 'The log and the cursor',
    minutes: 15,
    edits: [
      {
        file: 'lib/stream/start.ts',
        find: '  const start = isOldest ? pruned : (asked ?? head);\n',
        put: '  // LESSON 5, 1 of 2: it was away. Where does it go on?\n  const start = isOldest ? pruned : head;\n',
      },
      {
        file: 'lib/event.ts',
        find:
          "  if (seq < pruned.seq) return 'expired';\n" +
          "  if (seq > head.seq) return 'ahead';\n" +
          "  return stamp === stampThere ? undefined : 'unknown-log';\n",
        put: '  // LESSON 5, 2 of 2: three cursors are no good. Which, and in which order?\n  return undefined;\n',
      },
    ],
    hints: [
      'It has seen everything up to the place that it asked for. So from where does it go on?',
      'Too old: seq is less than pruned.seq. Not yet: greater than head.seq. And what does it mean if two stamps differ?',
      "1: … pruned : (asked ?? head);  2: if (seq < pruned.seq) return 'expired';  then 'ahead', then the stamps",
    ],
  },
  {
    number: 6,
    title: 'Slow readers',
    minutes: 11,
    edits: [
      {
        file: 'lib/stream/client.ts',
        find: '    if (out.writableLength > HIGH_WATER_BYTES) this.waitForDrain();\n',
        put: '    // LESSON 6, 1 of 2: is there too much that it has not read?\n',
      },
      {
        file: 'lib/stream/client.ts',
        find: '    this.isLagging = true;\n',
        put: '    // LESSON 6, 2 of 2: from now on it is left alone. Where does the hub see that?\n',
      },
    ],
    hints: [
      'A stream knows how many bytes it still holds: out.writableLength. From how many on should we wait?',
      'Who is not ready is not served: look at isReady. Which of its fields is taken back when everything has drained?',
      '1: if (out.writableLength > HIGH_WATER_BYTES) this.waitForDrain();  2: this.isLagging = true;',
    ],
  },
  {
    number: 7,
    title: 'Who may come in',
    minutes: 9,
    edits: [
      {
        file: 'lib/http/access.ts',
        find: "    if (this.hosts.has(name.replace(/\\.$/, '').toLowerCase())) return; // a dot at the end is the root of all names\n",
        put:
          '    // LESSON 7, 1 of 2: who else gets in?\n' +
          '    if ([...this.hosts].some((own) => name.toLowerCase().startsWith(own))) return;\n',
      },
      {
        file: 'lib/http/access.ts',
        find: '  return URL.canParse(own) && new URL(own).host === originHost;\n',
        put:
          '  // LESSON 7, 2 of 2: and here?\n' +
          '  return URL.canParse(own) && originHost.startsWith(new URL(own).host);\n',
      },
    ],
    hints: [
      'Which names begin with "localhost"? Anyone can register a domain, and put in front of it what they like.',
      'A name is ours if it is equal to one of ours; `name` has no port any more. this.hosts is a Set, and a Set can answer that.',
      "1: if (this.hosts.has(name.replace(/\\.$/, '').toLowerCase())) return;  2: … new URL(own).host === originHost",
    ],
  },
  {
    number: 8,
    title: 'Two programs',
    minutes: 6,
    edits: [
      {
        file: 'lib/store/sqlite-replaceable-reader.ts',
        find: '    return this.seenVersion !== before;\n',
        put: '    // LESSON 8: has another program committed? Then somebody must hear of it.\n    return false;\n',
      },
    ],
    hints: [
      'PRAGMA data_version changes when another connection has committed. Who compares it with what it was?',
      '`before` is what it was 100 ms ago. Where this says `true`, the hub is told to look at the log.',
      'return this.seenVersion !== before;',
    ],
  },
];

/** Takes the lines of a lesson out of a file's text. @throws {NoPlace} where one of them doesn't stand there once */
export const takeOut = ({ edits }: Lesson, file: string, text: string): string =>
  edits.filter((edit) => edit.file === file).reduce(applyEdit, text);

/** The files that a lesson changes. */
export const filesOf = ({ edits }: Lesson): string[] => [...new Set(edits.map(({ file }) => file))];
