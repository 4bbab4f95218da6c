// What the tests share, in one import: a real server in its own process, and clients that talk to it as anyone
// would. Each of these files helps with one thing.
export * from './event-stream-client.ts';
export * from './frames.ts';
export * from './patience.ts';
export * from './raw-http.ts';
export * from './requests.ts';
export * from './server.ts';
export * from './websocket-client.ts';
