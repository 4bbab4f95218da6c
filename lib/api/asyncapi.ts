// The AsyncAPI description (3.0) of the streams of this very server: its channels, and every frame that may come. Nearly
// all of it stands as data in `described/streams.json`. Where OpenAPI tells what may be asked, this tells what will be
// said: events come unasked, and OpenAPI has no words for that.
import { type Description, finish, type Json, mapValues, readData, ref, schemasOf } from './description.ts';

/** The document, with what this server has and nothing that it has not. */
export function asyncApi(server: Description): Json {
  // `Event` stands for all that is stored. Its types are the publishers' own: no list could have them all.
  const { channels, operations, messages, schemas } = readData('streams');
  if (server.isLabOn) {
    // All else that a client sends is ignored, and so it is not described: that would invite people to send it.
    const lab = readData('lab');
    Object.assign(
      channels.websocket.messages,
      mapValues(lab.messages, (_, name) => ref(`messages/${name}`)),
    );
    Object.assign(operations, lab.operations);
    Object.assign(messages, lab.messages);
  }
  return finish({
    asyncapi: '3.0.0',
    info: server.info,
    // What a message has unless it says otherwise: events say that they are CloudEvents.
    defaultContentType: 'application/json',
    servers: serversOf(server),
    channels,
    operations,
    components: {
      messages,
      schemas: { ...schemasOf(server), ...schemas },
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
