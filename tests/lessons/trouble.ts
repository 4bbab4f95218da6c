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

/** `lib/stream/hub.ts` of a path anywhere on this machine. */
function inProject(path: string): string {
  return path.replaceAll('\\', '/').replace(/^.*\/(?=(lib|public|tests)\/)/, '');
}
