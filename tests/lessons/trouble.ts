// What a broken program leaves on its standard error, as one line that says which file and which line to look at.
// A learner meets a syntax error in nearly every lesson: a screen full of stack is no help with it.

/** One line; undefined where nothing is wrong. `exitCode` is null while the program runs. */
export function explain(output: string, exitCode: number | null): string | undefined {
  const syntax =
    /([\w./\\:-]+\.ts):(\d+):\d+: ERROR: (.*)/.exec(output) ?? // esbuild's words, below Node's own, since 22.18
    /(\S+\.ts):(\d+)\n[\s\S]*?\[ERR_INVALID_TYPESCRIPT_SYNTAX\]: (.*)/.exec(output);
  if (syntax) return `${inProject(syntax[1]!)}:${syntax[2]} is not TypeScript: ${syntax[3]}`;
  const error = /^(?:Uncaught )?((?:\w*Error)\b.*)$/m.exec(output);
  if (error) {
    const place = /((?:lib|public)[/\\][\w./\\-]+\.\w+):(\d+)/.exec(output.slice(error.index));
    return `${place ? `${inProject(place[1]!)}:${place[2]}: ` : ''}${error[1]}`;
  }
  const code = /\bcode: '(SQLITE_\w+)'/.exec(output)?.[1]; // of the thread that writes only this comes over
  if (code) return `The database took a statement for wrong (${code}): look at its SQL, name by name.`;
  if (exitCode === null) return undefined;
  const lines = output.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('Node.js v'));
  return lines.at(-1) ?? `The program ended with code ${exitCode}, without a word.`;
}

/** What SQLite says is wrong, and the word that it names. */
const SQL_FAULTS = [
  /near "([^"]+)": syntax error/,
  /unrecognized token: "(.+)"/,
  /no such [\w ]+: (?:main\.)?([\w.]+)/,
  /table \S+ has no column named (\S+)/,
  /\d+ values for \d+ columns|incomplete input/,
];

/**
 * SQLite names a word, and no line. What is wrong is what the learner wrote: so it is the first line with this word from
 * where the file differs from the original, and where there is none, the one where it begins to differ.
 * @returns the sentence with the file and the line before it, if it is about SQL at all
 */
export function placeInSql(sentence: string, file: string, text: string, original: string): string {
  const [fault, word = ''] = SQL_FAULTS.map((form) => form.exec(sentence)).find((found) => found) ?? [];
  if (fault === undefined && !sentence.includes('look at its SQL')) return sentence;
  const [lines, before] = [text, original].map((one) => one.split(/\r?\n/)) as [string[], string[]];
  const first = lines.findIndex((line, at) => line !== before[at]);
  const named = lines.findIndex((line, at) => at >= first && word !== '' && line.includes(word));
  return `${file}:${Math.max(named, first) + 1}: ${fault ?? sentence}`;
}

/** `lib/stream/hub.ts` of a path anywhere on this machine. */
function inProject(path: string): string {
  return path.replaceAll('\\', '/').replace(/^.*\/(?=(lib|public|tests)\/)/, '');
}
