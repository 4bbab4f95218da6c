// Where a learner stands, in `.lessons/` at the root of the project: which lesson is open, what is done, the files
// as they came, and all that the learner wrote. Nothing here needs git; and what is kept is never written over.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { filesOf, type Lesson, takeOut } from './lessons.ts';

/** Where a learner's progress is told, and as whose. The token is shown to nobody. */
export type Board = { url: string; nick: string; token?: string | undefined };

/** `open` is the number of the lesson whose lines are taken out, 0 for none. */
export type State = {
  open: number;
  /** How many hints were given for the open lesson. */
  hints: number;
  done: number[];
  board?: Board;
};

export class Progress {
  private readonly root: string;
  private readonly folder: string;

  constructor(root: string) {
    this.root = root;
    this.folder = join(root, '.lessons');
  }

  read(): State {
    const empty: State = { open: 0, hints: 0, done: [] };
    if (!existsSync(this.stateFile)) return empty;
    try {
      return { ...empty, ...JSON.parse(readFileSync(this.stateFile, 'utf8')) };
    } catch {
      return empty; // someone edited it: nothing but a few ticks is lost
    }
  }

  /** Changes some of it. */
  write(change: Partial<State>): void {
    mkdirSync(this.folder, { recursive: true });
    const next = `${this.stateFile}.next`; // renamed when it is whole: a laptop may be closed at any moment
    writeFileSync(next, JSON.stringify({ ...this.read(), ...change }, null, 2), { mode: 0o600 });
    renameSync(next, this.stateFile);
  }

  /** A file of the project as it is now. */
  textOf(file: string): string {
    return readFileSync(join(this.root, file), 'utf8');
  }

  /** A file of the open lesson as it came. */
  cleanText(file: string): string {
    return readFileSync(this.cleanFile(file), 'utf8');
  }

  /** Keeps the files as they are, and takes the lesson's lines out. @throws {Error} where they are not there */
  open(lesson: Lesson): void {
    const broken = filesOf(lesson).map((file) => ({ file, text: takeOut(lesson, file, this.textOf(file)) }));
    for (const { file } of broken) {
      mkdirSync(dirname(this.cleanFile(file)), { recursive: true });
      copyFileSync(join(this.root, file), this.cleanFile(file));
    }
    this.write({ open: lesson.number, hints: 0 });
    for (const { file, text } of broken) writeFileSync(join(this.root, file), text);
  }

  /** Keeps what the learner wrote, and puts the files back as they came. @returns where their work is kept */
  close(lesson: Lesson): string[] {
    const kept: string[] = [];
    for (const file of filesOf(lesson)) {
      if (!existsSync(this.cleanFile(file))) continue;
      const text = this.textOf(file);
      const clean = this.cleanText(file);
      if (text !== clean && text !== takeOut(lesson, file, clean))
        kept.push(this.keep(lesson.number, file, text));
      copyFileSync(this.cleanFile(file), join(this.root, file));
    }
    rmSync(join(this.folder, 'clean'), { recursive: true, force: true });
    this.write({ open: 0, hints: 0 });
    return kept;
  }

  private keep(number: number, file: string, text: string): string {
    const mine = join(this.folder, 'mine');
    mkdirSync(mine, { recursive: true });
    const ending = extname(file);
    const name = `${number}-${basename(file, ending)}`;
    let path = join(mine, name + ending);
    for (let i = 2; existsSync(path) && readFileSync(path, 'utf8') !== text; i += 1)
      path = join(mine, `${name}-${i}${ending}`);
    writeFileSync(path, text);
    return path;
  }

  private get stateFile(): string {
    return join(this.folder, 'state.json');
  }

  private cleanFile(file: string): string {
    return join(this.folder, 'clean', file);
  }
}
