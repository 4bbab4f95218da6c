// The AsyncAPI description (3.0) of the streams of this very server: its channels, and every frame that may come. It is
// unfolded from the same data as the OpenAPI description, so that both name the same schemas. Where OpenAPI tells what
// may be asked, this tells what will be said: events come unasked, and OpenAPI has no words for that.
import { type Description, type Json, mapValues, type Parts, prune } from './description.ts';

/** What `described/frames.json` says of one of the server's own frames: `data` is a schema, `example` fits it. */
type FrameKind = {
  title: string;
  /** One sentence for the list of frames. */
  summary: string;
  /** Where the summary is not enough. */
  description?: string;
  data: Json;
  example: Json;
};

/**
 * What a client may send, where the failure lab is on. Everything else that it sends is ignored, and so it is not
 * described: a description of what is ignored would invite people to send it.
 */
const ORDERS = {
  Cut: { title: 'Cut', lab: 'cut', more: {}, summary: 'The server destroys this connection.' },
  Mute: {
    title: 'Mute',
    lab: 'mute',
    // Bounded: a connection that is muted for ever could not be told from one that is broken.
    more: { seconds: { type: 'number', minimum: 1, maximum: 60 } },
    summary: 'The server sends this connection no frame for so long, then serves it from the log.',
  },
};

/**
 * The document.
 * @param parts the data of `described/`, which this leaves as it is
 * @param server what is true of this server alone: its URL, its tokens, whether the lab is on
 */
export function asyncApi(parts: Parts, server: Description): Json {
  const { frames, streams, schemas } = parts;
  // AsyncAPI 3 takes a server apart into host and protocol, and has no URL.
  const { host, protocol } = new URL(server.url);
  // A page that came over TLS may open no stream without it, so the two go together.
  const isSecure = protocol === 'https:';
  // Left out where nobody is asked for a token: an empty list would say that there is one to give.
  const security = server.security.length > 0 ? { security: securityOf(server) } : {};
  // `Event` stands for all that is stored. Its types are the publishers' own: no list could have them all.
  const names = [...Object.keys(frames).map(messageName), 'Event'];
  // The lab can be switched off, and then nothing of it is described.
  const orders = server.isLabOn ? ORDERS : {};
  const { websocket, eventStream } = streams;
  const channels = {
    websocket: channel(websocket!, 'webSocketServer', [...names, ...Object.keys(orders)]),
    // No lab here: over server-sent events a client can say nothing.
    eventStream: channel(eventStream!, 'httpServer', names),
  };
  return prune({
    asyncapi: '3.0.0',
    info: server.info,
    // What a message has unless it says otherwise: events say that they are CloudEvents.
    defaultContentType: 'application/json',
    servers: {
      // One server on one port, but each protocol needs an entry of its own, and a channel names the one that it is on.
      webSocketServer: { host, protocol: isSecure ? 'wss' : 'ws', ...security },
      httpServer: { host, protocol: isSecure ? 'https' : 'http', ...security },
    },
    channels,
    // Said from the server's side: what it sends is what a client of it hears.
    operations: {
      sendFrames: operation('send', 'websocket', names, 'The server sends frames.'),
      sendServerSentEvents: operation('send', 'eventStream', names, 'The server sends the same frames.'),
      ...(server.isLabOn
        ? { obeyLab: operation('receive', 'websocket', Object.keys(orders), 'The failure lab.') }
        : {}),
    },
    components: {
      messages: {
        ...Object.fromEntries(Object.entries(frames).map(ownFrame)),
        Event: {
          name: 'event',
          title: 'Event',
          summary: 'A committed fact. Every type is one that does not begin with stream.',
          contentType: 'application/cloudevents+json',
          payload: { $ref: '#/components/schemas/Event' },
        },
        ...mapValues(orders, labOrder),
      },
      schemas: {
        ...schemas,
        ...Object.fromEntries(Object.entries(frames).map(ownSchema)),
      },
      // A token in the query has another name in AsyncAPI, where `apiKey` means a user name or a password.
      securitySchemes: mapValues(server.securitySchemes, (scheme) =>
        scheme.type === 'apiKey' ? { ...scheme, type: 'httpApiKey' } : scheme,
      ),
    },
  });
}

/** `stream.ready` is the message StreamReady. */
function messageName(type: string): string {
  return type.replace(/(^|\.)([a-z])/g, (_, _dot, letter: string) => letter.toUpperCase());
}

/** Messages are named, not repeated: both channels carry the same ones. */
function channel(given: Json, server: string, messages: string[]): Json {
  const all = messages.map((name) => [name, { $ref: `#/components/messages/${name}` }]);
  return { ...given, servers: [{ $ref: `#/servers/${server}` }], messages: Object.fromEntries(all) };
}

/** It names messages of its channel, since AsyncAPI 3 lets an operation use no others. */
function operation(action: string, name: string, messages: string[], summary: string): Json {
  return {
    action,
    channel: { $ref: `#/channels/${name}` },
    summary,
    messages: messages.map((message) => ({ $ref: `#/channels/${name}/messages/${message}` })),
  };
}

/** One of the server's own frames, with an example that stands in the reference page as it is. */
function ownFrame([type, given]: [string, Json]): [string, Json] {
  // What is left are words for people, under the names that AsyncAPI has for them.
  const { data, example, ...words } = given as FrameKind;
  // Around every example stands the same envelope, so that the data in `described/` says only what differs.
  const payload = {
    specversion: '1.0',
    id: '9c41e2f0-42',
    source: '/ws/1f6c02-7/1',
    type,
    time: '2026-11-23T09:30:00.123Z',
    data: example,
  };
  const name = messageName(type);
  return [
    name,
    {
      name: type,
      ...words,
      contentType: 'application/cloudevents+json',
      payload: { $ref: `#/components/schemas/${name}` },
      examples: [{ payload }],
    },
  ];
}

/**
 * The schema of a frame of the server's own. It is never stored: its `id` is a position, which an event may have too.
 * So its source has a number of its own for each frame, and `source` and `id` together name it alone.
 */
function ownSchema([type, given]: [string, Json]): [string, Json] {
  const { data } = given as FrameKind;
  const properties = {
    specversion: { type: 'string', const: '1.0' },
    id: { $ref: '#/components/schemas/EventId' },
    source: { type: 'string', pattern: '^/(ws|api/events)/[^/]+/[0-9]+$' },
    type: { type: 'string', const: type },
    time: { $ref: '#/components/schemas/Time' },
    data,
  };
  return [messageName(type), { type: 'object', required: Object.keys(properties), properties }];
}

/** An order is plain JSON and no CloudEvent: it is about the connection on which it comes, and is answered by none. */
function labOrder({ title, lab, more, summary }: (typeof ORDERS)['Cut' | 'Mute']): Json {
  const properties = { lab: { type: 'string', const: lab }, ...more };
  return {
    name: lab,
    title,
    summary,
    payload: { type: 'object', required: Object.keys(properties), properties },
  };
}

/** AsyncAPI 3 wants references here, where OpenAPI wants the names. */
function securityOf({ securitySchemes }: Description): Json[] {
  return Object.keys(securitySchemes).map((name) => ({ $ref: `#/components/securitySchemes/${name}` }));
}
