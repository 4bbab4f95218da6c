// How the server is: `/healthz` for whoever restarts it (it asks nobody, so it answers while the database is away),
// `/readyz` for whoever sends it work, and the lab's table of the open streams.
import { setTimeout as sleep } from 'node:timers/promises';
import { eventId } from '../event.ts';
import type { Call } from '../http/request.ts';
import { sendJson } from '../http/response.ts';
import { Problem, unavailable } from '../problem.ts';
import { Shared } from '../shared.ts';
import type { Client } from '../stream/client.ts';
import type { Hub } from '../stream/hub.ts';
import type { Parts } from './parts.ts';

const CHECK_MS = 2000; // a database that takes longer to say how it is does not answer

/** The handlers of the three paths. */
export function createHealthApi({ hub, store, config, isLabOn, isDraining }: Parts) {
  /** However many ask, the database is asked once; the next question gets a fresh answer. */
  const checking = new Shared<void>();

  /** One look, with an end to it: a database that is gone without a word would let every balancer wait for ever. */
  async function check(): Promise<void> {
    try {
      const asked = store.check().then(() => true);
      const hasAnswered = await Promise.race([asked, sleep(CHECK_MS, false, { ref: false })]);
      if (!hasAnswered) throw unavailable(`The database has not answered for ${CHECK_MS / 1000} s.`);
    } catch (error) {
      // A store calls trouble by the status that a write would get. To this question the answer is always 503.
      throw error instanceof Problem && error.status !== 503 ? unavailable(error.message) : error;
    }
  }

  return {
    /**
     * `{status, clients, lastEventId}`, or 503 while the server stops. It is synchronous and asks nobody: were it to wait
     * for the database, a supervisor would kill a program that streams and reads well, only because a disk is slow.
     */
    healthz({ res }: Call): void {
      // A client needs it to tell silence from quiet; see `heartbeatSeconds` in public/changebell.js.
      const headers = { 'Heartbeat-Seconds': String(config.heartbeatMs / 1000) };
      if (isDraining())
        return sendJson(res, 503, '{"status":"draining"}', { ...headers, 'Retry-After': '2' });
      // The newest event that was announced: two servers of one database tell the same, once both have heard of it.
      const { clients, lastEventId } = hub;
      // Left out where it is off, so that nobody takes the lab for a part of the product.
      const lab = isLabOn ? { lab: true } : {};
      const state = { status: 'ok', clients: clients.size, lastEventId, ...lab };
      sendJson(res, 200, JSON.stringify(state), headers);
    },

    /**
     * 200 while the database answers and writes can succeed. Many balancers ask at once, and one look serves them all.
     * @throws {Problem} 503 with what is wrong, in one sentence
     */
    async readyz({ res }: Call): Promise<void> {
      if (isDraining()) throw unavailable('The server is stopping.');
      await checking.get('', check);
      sendJson(res, 200, '{"status":"ready"}');
    },

    /** The open streams, for the lab's page. The path is there only where the lab is on. @throws {Problem} 403 */
    clients({ res, scope }: Call): void {
      scope.checkReadAll('the list of clients');
      const clients = [...hub.clients].map((client) => describe(client, hub));
      sendJson(res, 200, JSON.stringify({ clients }));
    },
  };
}

/** The lab's view of a stream. */
function describe(client: Client, hub: Hub): object {
  return {
    client: client.name,
    transport: client.stream.kind.transport.name,
    lastEventId: eventId(client.cursor),
    behind: hub.distance(client),
    bufferedBytes: client.stream.out.writableLength,
    connectedAt: new Date(client.connectedAt).toISOString(),
  };
}
