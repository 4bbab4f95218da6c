// How the server is: `/healthz` for whoever restarts it (it asks nobody, so it answers while the database is away),
// `/readyz` for whoever sends it work, and the lab's table of the open streams.
import { eventId } from '../event.ts';
import type { Call } from '../http/request.ts';
import { sendJson } from '../http/response.ts';
import { Problem, unavailable } from '../problem.ts';
import type { Store } from '../store/store.ts';
import type { Client } from '../stream/client.ts';
import type { Hub } from '../stream/hub.ts';

const CHECK_MS = 2000; // a database that takes longer to say how it is does not answer

export type HealthParts = {
  hub: Hub;
  database: Pick<Store, 'check'>;
  isLabOn: boolean;
  heartbeatMs: number;
};

export class Health {
  /** Set while the server stops: then it takes no new work. */
  isDraining = false;
  private readonly parts: HealthParts;
  /** The check under way: however many ask, the database is asked once. */
  private checking: Promise<void> | undefined;

  constructor(parts: HealthParts) {
    this.parts = parts;
  }

  readonly healthz = ({ res }: Call): void => {
    const { hub, isLabOn, heartbeatMs } = this.parts;
    // A client needs it to tell silence from quiet; see `heartbeatSeconds` in public/changebell.js.
    const headers = { 'Heartbeat-Seconds': String(heartbeatMs / 1000) };
    if (this.isDraining) return sendJson(res, 503, '{"status":"draining"}', headers);
    const { clients, lastEventId } = hub;
    const lab = isLabOn ? { lab: true } : {};
    const json = JSON.stringify({ status: 'ok', clients: clients.size, lastEventId, ...lab });
    sendJson(res, 200, json, headers);
  };

  /** @throws {Problem} 503 with what is wrong */
  readonly readyz = async ({ res }: Call): Promise<void> => {
    if (this.isDraining) throw unavailable('The server is stopping.');
    this.checking ??= this.check();
    await this.checking;
    sendJson(res, 200, '{"status":"ready"}');
  };

  readonly clients = ({ res }: Call): void => {
    sendJson(
      res,
      200,
      JSON.stringify({
        clients: [...this.parts.hub.clients].map((client) => describe(client, this.parts.hub)),
      }),
    );
  };

  private async check(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const silent = unavailable(`The database has not answered for ${CHECK_MS / 1000} s.`);
      timer = setTimeout(() => reject(silent), CHECK_MS);
    });
    try {
      await Promise.race([this.parts.database.check(), late]);
    } catch (error) {
      throw error instanceof Problem && error.status !== 503 ? unavailable(error.message) : error;
    } finally {
      clearTimeout(timer);
      this.checking = undefined;
    }
  }
}

/** The lab's view of a stream. */
function describe(client: Client, hub: Hub): object {
  return {
    client: client.name,
    transport: client.stream.transport.name,
    lastEventId: eventId(client.cursor),
    behind: hub.distance(client),
    bufferedBytes: client.stream.out.writableLength,
    connectedAt: new Date(client.connectedAt).toISOString(),
  };
}
