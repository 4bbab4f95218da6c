// A line between clients and a server that takes its time, and breaks when a test says so: bytes keep their order, but are
// late by chance. So a page comes after what is newer than it, and a connection ends in the middle of an answer.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** @param lateMs how late the next bytes of the server are */
export async function startSlowLine(port: number, lateMs: () => number) {
  const ends = new Set<Socket>();
  const door = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const end of [near, far]) {
      ends.add(end);
      end.once('close', () => ends.delete(end));
      end.setNoDelay();
    }
    void pass(near, far, () => 0);
    void pass(far, near, lateMs);
  }).listen(0, '127.0.0.1');
  await once(door, 'listening');
  const cut = () => {
    for (const end of ends) end.destroy();
  };
  return {
    port: (door.address() as AddressInfo).port,
    /** Every connection at once, without a goodbye. */
    cut,
    close: () => {
      cut();
      door.close();
    },
  };
}

/** What comes while the last bytes are on their way goes together. */
async function pass(from: Socket, to: Socket, lateMs: () => number): Promise<void> {
  try {
    for await (const bytes of from) {
      const ms = lateMs();
      if (ms > 0) await delay(ms);
      to.write(bytes);
    }
    to.end();
  } catch {
    to.destroy(); // the other end broke
  }
}
