// The resources of this program. Whoever adds one adds it here, and its table as `lib/store/sqlite-<table>.sql` and
// `lib/store/postgres-<table>.sql`: the routes, the writes and the events follow.
import { CUSTOMERS } from './customer.ts';
import type { Resource } from './resource.ts';

export const RESOURCES: readonly Resource[] = [CUSTOMERS];

/** Those whose rows are announced by the triggers of WATCH. The customers have triggers of their own. */
export const WATCHED_RESOURCES = RESOURCES.filter((resource) => resource !== CUSTOMERS);
