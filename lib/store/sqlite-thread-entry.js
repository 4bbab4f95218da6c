// Where the writing thread begins. It is plain JavaScript, because tsx is not inherited by threads: where Node
// doesn't strip types by itself, tsx must be registered in each one anew.
if (!Reflect.get(process.features, 'typescript')) (await import('tsx/esm/api')).register();
await import('./sqlite-worker.ts');
