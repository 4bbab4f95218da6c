// The stage of `npm run ladder -- 5 --show`: a rung that runs, Ada and Bob who are connected to it, and what came
// of each save. The page in the browser only shows it and gives orders, since no browser lets a page stop reading.
import { heavy, type Person, type Rung, startRung } from './rung.ts';

const PATIENCE_MS = 3000;
const BIG_SAVES = 20;
const SEAM_TRIES = 3; // on the lowest rungs somebody is always told before the answer comes
const BIG_BYTES = 500_000;
const CUSTOMERS = [
  'Cyd',
  'Dan',
  'Eve',
  'Fay',
  'Gus',
  'Hal',
  'Ivy',
  'Joe',
  'Kim',
  'Leo',
  'Mia',
  'Ned',
  'Oda',
  'Pat',
];

type Saved = { name: string; by: string; outcome: string };

/** What the page shows. */
export type Scene = {
  rung: number;
  saved: Saved[];
  waitingBytes: number;
  people: {
    name: string;
    isHere: boolean;
    isReading: boolean;
    heard: string[];
    lastSeq: number | undefined;
  }[];
};

type Role = { name: string; person: Person; isReading: boolean };

export class Stage {
  /** Called when there is something new to show. */
  onChange = () => {};
  private rung: Rung;
  private roles: Role[] = [];
  private saved: Saved[] = [];
  private number: number;

  private constructor(rung: Rung, number: number) {
    this.rung = rung;
    this.number = number;
  }

  /** Starts a rung, and lets Ada and Bob in. */
  static async open(number: number): Promise<Stage> {
    const stage = new Stage(await startRung(number, PATIENCE_MS), number);
    for (const name of ['Ada', 'Bob'])
      stage.roles.push({ name, person: await stage.rung.connect(), isReading: true });
    return stage;
  }

  async close(): Promise<void> {
    for (const { person } of this.roles) person.leave();
    await this.rung.stop();
  }

  async scene(): Promise<Scene> {
    const people = this.roles.map(({ name, person, isReading }) => {
      person.onNews = () => this.onChange();
      return { name, isReading, isHere: person.isConnected, heard: person.heard, lastSeq: person.lastSeq };
    });
    return { rung: this.number, saved: this.saved, waitingBytes: await this.rung.unsentBytes(), people };
  }

  /** One of the page's buttons. @throws {Error} for an order that there isn't */
  async obey(order: string, who: string | undefined): Promise<void> {
    const role = this.roles.find(({ name }) => name === who);
    const orders: Record<string, () => unknown> = {
      save: () => this.save(this.newName()),
      again: () => this.save(this.saved.at(-1)?.name ?? this.newName()),
      byHand: () => this.saveByHand(this.newName()),
      big: () => this.saveBig(),
      cut: () => role?.person.leave(),
      back: () => role && this.bringBack(role),
      seam: () => role && this.bringBackAtASave(role),
      stop: () => role && this.setReading(role, false),
      read: () => role && this.setReading(role, true),
    };
    const run = Object.hasOwn(orders, order) ? orders[order] : undefined;
    if (!run) throw new Error(`There is no order ${order}.`);
    await run();
    this.onChange();
  }

  private newName(): string {
    const count = this.saved.length;
    const round = Math.floor(count / CUSTOMERS.length);
    return `${CUSTOMERS[count % CUSTOMERS.length]}${round > 0 ? ` ${round + 1}` : ''}`;
  }

  private async save(name: string, bytes = 0): Promise<void> {
    const entry = { name, by: 'this program', outcome: 'no answer yet' };
    this.saved.push(entry);
    this.onChange();
    const status = await this.rung.save(heavy(name, bytes));
    const words: Record<number, string> = { 201: 'saved', 409: 'refused: the name is taken' };
    entry.outcome =
      status === undefined ? `no answer for ${PATIENCE_MS / 1000} s` : (words[status] ?? `${status}`);
  }

  private async saveBig(): Promise<void> {
    for (let i = 0; i < BIG_SAVES && this.saved.at(-1)?.outcome !== 'no answer for 3 s'; i += 1)
      await this.save(this.newName(), BIG_BYTES);
  }

  private saveByHand(name: string): void {
    this.rung.saveByHand(name);
    this.saved.push({ name, by: 'another program', outcome: 'saved' });
  }

  /** With the number of the last event that they saw, on the rungs that have one. */
  private async bringBack(role: Role): Promise<void> {
    const { heard, lastSeq } = role.person;
    role.person = await this.rung.connect(lastSeq ?? 0); // who was cut off before anything came has seen nothing
    role.person.lastSeq ??= lastSeq;
    role.person.heard.unshift(...heard);
    role.isReading = true;
  }

  /** At the very moment of a save: it is in the log, and nobody was told yet. If somebody was, once more. */
  private async bringBackAtASave(role: Role): Promise<void> {
    const others = this.roles.filter((one) => one !== role);
    for (let i = 0; i < SEAM_TRIES; i += 1) {
      role.person.leave();
      const name = this.newName();
      await this.save(name);
      await this.bringBack(role);
      if (!others.some(({ person }) => person.heard.includes(name))) return;
    }
  }

  private setReading(role: Role, isReading: boolean): void {
    if (isReading) role.person.readOn();
    else role.person.stopReading();
    role.isReading = isReading;
  }
}
