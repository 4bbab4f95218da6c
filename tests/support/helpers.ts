// What the tests share, in one import: a real server in its own process, and clients that talk to it as anyone
// would. Each of these files helps with one thing. What needs a program that not every machine has (a browser, a compiler,
// PostgreSQL, a proxy) is imported by name, so that the files that don't need it don't load it.
export * from './event-stream-client.ts';
export * from './frames.ts';
export * from './patience.ts';
export * from './raw-http.ts';
export * from './requests.ts';
export * from './server.ts';
export * from './websocket-client.ts';
