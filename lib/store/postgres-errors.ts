// What goes wrong with PostgreSQL, and what the caller may know of it. SQLSTATEs: Appendix A of its documentation.
import type { DatabaseError } from 'pg';
import { type Problem, unavailable } from '../problem.ts';
import type { Result } from './group-commit.ts';
import { tell } from './tell.ts';

/**
 * The database itself says that it didn't do it, and the connection lives on as it was. Anything else is of the
 * connection, and says nothing of what was done.
 */
export function isRefusal(error: unknown): error is DatabaseError {
  const { severity, code = '' } = error as Partial<DatabaseError>;
  // The word for it is in the language of the server, and `pg` keeps no other. In any but English, the classes that may
  // end a connection are taken for such an end.
  const isEnd = severity === 'FATAL' || severity === 'PANIC' || /^(08|25P|53|57P|58|F0|XX)/.test(code);
  return severity === 'ERROR' || (severity !== undefined && !isEnd);
}

/** Locked, or in conflict with another transaction: nothing was written, and it may work in a moment. */
export function isTransient({ code }: { code?: string | undefined }): boolean {
  return code === '55P03' || code === '40P01' || code === '40001';
}

/** The server takes no writes (any more): another connection may lead to the one that does. */
export function isReadOnly({ code }: { code?: string | undefined }): boolean {
  return code === '25006';
}

/** A function of ours is gone: names stand in a message as they are, whatever its language. */
export function lacksFunction({ code, message }: { code?: string | undefined; message?: string }): boolean {
  return code === '42883' && message!.includes('changebell_');
}

/** What came of an order that the database refused: a rule forbids it, or another program's trigger is broken. */
export function toRefusal(code: string, message: string): Result {
  // Our own functions raise these two: PostgreSQL has no class CB, so no other error is taken for one.
  if (code === 'CB422') return { is: 'key taken', place: Number(message) };
  tell(`A rule of the database refused a write (${code}): ${message}`);
  if (code === 'CB409') return { is: 'refused', status: 409, detail: message };
  // Bad values, broken constraints, a trigger that raises, the check of a view: another change may be allowed.
  if (/^(22|23|P0|44)/.test(code))
    return { is: 'refused', status: 409, detail: 'A rule of the database forbids this change.' };
  // The rest is nothing that the caller can mend, such as a trigger that calls a function which is gone.
  const detail = 'The database cannot make this change at the moment. Nothing was changed.';
  return { is: 'refused', status: 503, detail };
}

/**
 * What the caller may know of a failure: only that it was the database's (503). The words of the database may name
 * tables and values, so they go to the log alone; the `cause` is for us.
 */
export function toProblem(error: unknown): Problem {
  const { code = '', message } = error as { code?: string; message: string };
  tell(`The database failed${code && ` (${code})`}: ${message}`);
  return Object.assign(unavailable('The database cannot be used at the moment.'), { cause: error });
}
