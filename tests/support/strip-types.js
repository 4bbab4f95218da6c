// Node before 22.18 can't run TypeScript. tsx makes it, but takes longer to load than all of ours, and the tests start
// a hundred programs: so they have a hook instead, which does what newer Nodes do by themselves, and says so, as they
// do. `node --import ./tests/support/strip-types.js server.ts`; threads inherit it.
import { register } from 'node:module';

process.setSourceMapsEnabled(true);
register('./strip-types-hook.js', import.meta.url);
Reflect.defineProperty(process.features, 'typescript', { value: 'hook' });
