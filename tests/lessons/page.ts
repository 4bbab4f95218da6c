// A page of the lessons: a WebSocket that remembers what it was told, that can stop reading, and that can go.
import { WebSocket } from 'ws';

type Frame = { id: string; type: string; data: Record<string, unknown> | null };

export class Page {
  /** All frames, oldest first: the server's own, and the events. */
  readonly frames: Frame[] = [];
  /** Why an ordinary client gave the connection up; empty while it has no reason to. */
  fault = '';
  private readonly socket: WebSocket;
  private readonly patienceMs: number;
  private wake = () => {};

  private constructor(socket: WebSocket, patienceMs: number) {
    this.socket = socket;
    this.patienceMs = patienceMs;
    socket.on('message', (text) => this.take(String(text)));
    socket.on('error', (error) => this.fail(error.message));
  }

  private take(text: string): void {
    try {
      this.frames.push(JSON.parse(text));
    } catch {
      return this.fail(`a message was no JSON: ${JSON.stringify(text.slice(0, 20))}…`);
    }
    this.wake();
  }

  private fail(fault: string): void {
    this.fault ||= fault;
    this.wake();
  }

  /** Resolves with the first frame, or when patience is at its end. */
  static async open(url: string, patienceMs: number): Promise<Page> {
    const page = new Page(new WebSocket(url, { handshakeTimeout: patienceMs }), patienceMs);
    await page.until(() => page.frames.length > 0 || page.fault !== '');
    return page;
  }

  /** The first frame: where its stream stands. */
  get first(): Frame | undefined {
    return this.frames[0];
  }

  /** The ids of the events that it was told, in order. */
  get told(): string[] {
    return this.frames.filter(({ type }) => !type.startsWith('stream.')).map(({ id }) => id);
  }

  /** Resolves as soon as it is true, which is looked at with each frame, or when none has come for too long. */
  until(isTrue: () => boolean): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(isTrue()), this.patienceMs);
      this.wake = () => {
        timer.refresh();
        if (!isTrue()) return;
        clearTimeout(timer);
        resolve(true);
      };
      this.wake();
    });
  }

  /** Until it was told of this event. */
  hears(id: string): Promise<boolean> {
    return this.until(() => this.told.includes(id));
  }

  /** Until it was told how many clients there are: until then a change could go along with that. */
  hearsCount(clients: number): Promise<boolean> {
    return this.until(() =>
      this.frames.some(({ type, data }) => type === 'stream.heartbeat' && data?.clients === clients),
    );
  }

  stopReading(): void {
    this.socket.pause();
  }

  readOn(): void {
    this.socket.resume();
  }

  /** With a goodbye, and until the server has answered it. */
  leave(): Promise<void> {
    const left = new Promise<void>((resolve) => this.socket.once('close', () => resolve()));
    this.socket.close();
    return left;
  }

  /** Without a goodbye. */
  cut(): void {
    this.socket.terminate();
  }
}
