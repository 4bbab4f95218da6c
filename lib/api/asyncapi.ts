// The AsyncAPI description (3.0) of the streams of this very server: its channels, and every frame that may come.
import { type Description, type Json, mapValues, type Parts, prune } from './description.ts';

type FrameKind = {
  title: string;
  summary: string;
  description?: string;
  data: Json;
  example: Json;
};

const ORDERS = {
  Cut: { title: 'Cut', lab: 'cut', more: {}, summary: 'The server destroys this connection.' },
  Mute: {
    title: 'Mute',
    lab: 'mute',
    more: { seconds: { type: 'number', minimum: 1, maximum: 60 } },
    summary: 'The server sends this connection no frame for so long, then serves it from the log.',
  },
};

export function asyncApi(parts: Parts, server: Description): Json {
  const { frames, streams, schemas } = parts;
  const { host, protocol } = new URL(server.url);
  const isSecure = protocol === 'https:';
  const security = server.security.length > 0 ? { security: securityOf(server) } : {};
  const names = [...Object.keys(frames).map(messageName), 'Event'];
  const orders = server.isLabOn ? ORDERS : {};
  const { websocket, eventStream } = streams;
  const channels = {
    websocket: channel(websocket!, 'webSocketServer', [...names, ...Object.keys(orders)]),
    eventStream: channel(eventStream!, 'httpServer', names),
  };
  return prune({
    asyncapi: '3.0.0',
    info: server.info,
    defaultContentType: 'application/json',
    servers: {
      webSocketServer: { host, protocol: isSecure ? 'wss' : 'ws', ...security },
      httpServer: { host, protocol: isSecure ? 'https' : 'http', ...security },
    },
    channels,
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

function channel(given: Json, server: string, messages: string[]): Json {
  const all = messages.map((name) => [name, { $ref: `#/components/messages/${name}` }]);
  return { ...given, servers: [{ $ref: `#/servers/${server}` }], messages: Object.fromEntries(all) };
}

function operation(action: string, name: string, messages: string[], summary: string): Json {
  return {
    action,
    channel: { $ref: `#/channels/${name}` },
    summary,
    messages: messages.map((message) => ({ $ref: `#/channels/${name}/messages/${message}` })),
  };
}

function ownFrame([type, given]: [string, Json]): [string, Json] {
  const { data, example, ...words } = given as FrameKind;
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

/** Never stored: its source has a number of its own for each frame. */
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

function labOrder({ title, lab, more, summary }: (typeof ORDERS)['Cut' | 'Mute']): Json {
  const properties = { lab: { type: 'string', const: lab }, ...more };
  return {
    name: lab,
    title,
    summary,
    payload: { type: 'object', required: Object.keys(properties), properties },
  };
}

function securityOf({ securitySchemes }: Description): Json[] {
  return Object.keys(securitySchemes).map((name) => ({ $ref: `#/components/securitySchemes/${name}` }));
}
