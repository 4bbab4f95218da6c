// Breaks of the store on PostgreSQL.
import { breaksOf, type Mutation } from './mutation.ts';

const sql = (file: string) =>
  breaksOf(`lib/store/postgres-${file}.sql`, 'tests/store/postgres-writers.test.ts');

export const POSTGRES: Mutation[] = [
  breaksOf('lib/store/postgres-reader.ts', 'tests/store/postgres-store.test.ts')(
    'on PostgreSQL everyone of a herd has an answer of its own',
    'this.next ??= this.answerNext();',
    'this.next = this.answerNext();',
    'a herd that asks for its places at once is answered together',
  ),
  sql('log')(
    'on PostgreSQL any session can give its events places in the log',
    "  OR NOT has_table_privilege('bell.changebell_events'::regclass, 'TRUNCATE')",
    '',
    'a session that claims to number as our own writes do',
  ),
  sql('log')(
    'on PostgreSQL the JSON of events of our own is not checked',
    "(seq > 0 AND current_setting('changebell.numbering', true) IS DISTINCT FROM 'on' OR",
    '(seq > 0 OR',
    'what a trigger of an application makes of an event of ours',
  ),
  sql('write')(
    'on PostgreSQL a creation that meets an id given by hand is refused',
    "rule = 'customers_pkey'",
    'false',
    'an id that was given by hand while our triggers were off',
  ),
  sql('write')(
    'on PostgreSQL what others have committed is not numbered before our own writes',
    '  IF are_drafts THEN',
    '  IF false THEN',
    'what was committed before a write of ours comes before',
  ),
  breaksOf('lib/store/postgres-watch.sql', 'tests/store/watch.test.ts')(
    'who takes a key that is checked late is told before who leaves it',
    "(current_setting('changebell.late', true) = 'on')",
    '(false)',
    'rows that hand on their keys, within a statement or from one transaction',
  ),
  breaksOf('lib/store/postgres-watch.sql', 'tests/store/postgres-writers.test.ts')(
    'nobody hears of rows that a TRUNCATE took without seeing them',
    "IN ('repeatable read', 'serializable')",
    "IN ('none')",
    'TRUNCATE takes rows that its transaction does not see',
  ),
  breaksOf('lib/store/postgres-log.sql', 'tests/store/postgres-store.test.ts')(
    'pruning breaks the commit of a write',
    'SET CONSTRAINTS ALL IMMEDIATE; -- what would break the commit of a write keeps the log',
    '',
    'an event that a foreign key of another program holds',
  ),
];
