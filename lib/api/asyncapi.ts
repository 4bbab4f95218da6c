// The AsyncAPI description (3.0) of the streams of this very server: its channels, and every frame that may come. It is
// unfolded from the same data as the OpenAPI description, so that both name the same schemas. Where OpenAPI tells what
// may be asked, this tells what will be said: events come unasked, and OpenAPI has no words for that.
import { type Description, finish, type Json, mapValues, readData, ref, schemasOf } from './description.ts';

/** The document, with what this server has and nothing that it has not. */
export function asyncApi(server: Description): Json {
  const { channels, frames, event, orders } = readData('streams');
  // `Event` stands for all that is stored. Its types are the publishers' own: no list could have them all.
  const sent = [...Object.keys(frames), 'Event'];
  // All else that a client sends is ignored, and so it is not described: that would invite people to send it.
  const obeyed = server.isLabOn ? Object.keys(orders) : [];
  return finish({
    asyncapi: '3.0.0',
    info: server.info,
    // What a message has unless it says otherwise: events say that they are CloudEvents.
    defaultContentType: 'application/json',
    servers: serversOf(server),
    channels: {
      websocket: channel(channels.websocket, 'webSocketServer', [...sent, ...obeyed]),
      // No lab here: over server-sent events a client can say nothing.
      eventStream: channel(channels.eventStream, 'httpServer', sent),
    },
    // Said from the server's side: what it sends is what a client of it hears.
    operations: {
      sendFrames: operation('send', 'websocket', sent, 'The server sends frames.'),
      sendServerSentEvents: operation('send', 'eventStream', sent, 'The server sends the same frames.'),
      obeyLab: server.isLabOn ? operation('receive', 'websocket', obeyed, 'The failure lab.') : undefined,
    },
    components: {
      messages: { ...mapValues(frames, frameMessage), Event: event, ...orders },
      schemas: { ...schemasOf(server), ...mapValues(frames, frameSchema) },
      // A token in the query has another name in AsyncAPI, where `apiKey` means a user name or a password.
      securitySchemes: mapValues(server.securitySchemes, (scheme) =>
        scheme.type === 'apiKey' ? { ...scheme, type: 'httpApiKey' } : scheme,
      ),
    },
  });
}

/** One server on one port, but each protocol needs an entry of its own, and a channel names the one that it is on. */
function serversOf({ url, securitySchemes }: Description): Json {
  // AsyncAPI 3 takes a server apart into host and protocol, and has no URL.
  const { host, protocol } = new URL(url);
  // A page that came over TLS may open no stream without it, so the two go together.
  const s = protocol === 'https:' ? 's' : '';
  const schemes = Object.keys(securitySchemes);
  // References here, where OpenAPI wants the names. Left out where nobody is asked for a token: an empty list would say
  // that there is one to give.
  const security = schemes.length > 0 ? schemes.map((name) => ref(`securitySchemes/${name}`)) : undefined;
  return {
    webSocketServer: { host, protocol: `ws${s}`, security },
    httpServer: { host, protocol: `http${s}`, security },
  };
}

/** Messages are named, not repeated: both channels carry the same ones. */
function channel(given: Json, server: string, messages: string[]): Json {
  const all = messages.map((name) => [name, ref(`messages/${name}`)]);
  return { ...given, servers: [{ $ref: `#/servers/${server}` }], messages: Object.fromEntries(all) };
}

/** It names messages of its channel, since AsyncAPI 3 lets an operation use no others. */
function operation(action: string, name: string, messages: string[], summary: string): Json {
  const all = messages.map((message) => ({ $ref: `#/channels/${name}/messages/${message}` }));
  return { action, channel: { $ref: `#/channels/${name}` }, summary, messages: all };
}

/** One of the server's own frames, with an example that stands in the reference page as it is. */
function frameMessage({ type, data, example, ...words }: Json, name: string): Json {
  // Around every example stands the same envelope, so that the data in `described/` says only what differs.
  const payload = {
    specversion: '1.0',
    id: '9c41e2f0-42',
    source: '/ws/1f6c02-7/1',
    type,
    time: '2026-11-23T09:30:00.123Z',
    data: example,
  };
  return {
    name: type,
    ...words,
    contentType: 'application/cloudevents+json',
    payload: ref(`schemas/${name}`),
    examples: [{ payload }],
  };
}

/**
 * The schema of a frame of the server's own. It is never stored: its `id` is a position, which an event may have too.
 * So its source has a number of its own for each frame, and `source` and `id` together name it alone.
 */
function frameSchema({ type, data }: Json): Json {
  const properties = {
    specversion: { type: 'string', const: '1.0' },
    id: ref('schemas/EventId'),
    source: { type: 'string', pattern: '^/(ws|api/events)/[^/]+/[0-9]+$' },
    type: { type: 'string', const: type },
    time: ref('schemas/Time'),
    data,
  };
  return { type: 'object', required: Object.keys(properties), properties };
}
