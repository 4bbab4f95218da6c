// The chapter made of the AsyncAPI description: the streams, and every frame that may come.
import { make } from '../dom.js';
import { chapter, entry, example, follow, kindOf, members, table, words } from './parts.js';

/** @typedef {import('./parts.js').Json} Json */

/** @param {Json} asyncapi */
export function chapterOfStreams(asyncapi) {
  const channels = Object.entries(asyncapi.channels).map(([name, one]) => channelEntry(asyncapi, name, one));
  const messages = Object.entries(asyncapi.components.messages).map(([name, one]) =>
    messageEntry(asyncapi, name, one),
  );
  return chapter('streams', 'Streams', 'Frames of the WebSocket and of server-sent events.', [
    ...channels,
    ...messages,
  ]);
}

/** @param {Json} asyncapi @param {string} name @param {Json} channel */
function channelEntry(asyncapi, name, channel) {
  const frames = Object.values(channel.messages).map((one) => follow(asyncapi, one).name);
  const codes = Object.entries(channel['x-close-codes'] ?? {}).map(([code, meaning]) => {
    return /** @type {[string, Node]} */ ([code, words(meaning)]);
  });
  return entry(
    `channel-${name}`,
    [make('code', { textContent: channel.address }), ` ${channel.title}`],
    [
      words(channel.description),
      ...members('Query', channel.bindings.ws?.query),
      words(`Its frames: ${frames.map((frame) => `\`${frame}\``).join(', ')}`),
      ...table('Close codes', codes),
    ],
  );
}

/** @param {Json} asyncapi @param {string} name @param {Json} message */
function messageEntry(asyncapi, name, message) {
  const schema = follow(asyncapi, message.payload);
  const data = schema.properties.data;
  return entry(
    `frame-${name}`,
    [make('code', { textContent: message.name }), ` ${message.summary}`],
    [
      ...(message.description ? [words(message.description)] : []),
      ...members('Its attributes', schema),
      ...(data && kindOf(data) === 'object' ? members('Its data', data) : []),
      ...example('For example', message.examples?.[0]?.payload ?? schema.examples?.[0]),
    ],
  );
}
