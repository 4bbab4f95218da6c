// A small change of the program's source, in the one form that the table of breaks and the lessons share.

/** `find` stands in the file exactly once; `put` takes its place. */
export type Edit = { file: string; find: string; put: string };

/** The text that an edit looks for is not there, or not once. */
export class NoPlace extends Error {}

/** Line ends of Windows stay what they are. @throws {NoPlace} */
export function applyEdit(text: string, { file, find, put }: Edit): string {
  const unix = text.replaceAll('\r\n', '\n');
  const times = unix.split(find).length - 1;
  if (times !== 1) throw new NoPlace(`${file} holds this ${times} times, and not once: ${find.trim()}`);
  const changed = unix.replace(find, () => put);
  return text.includes('\r\n') ? changed.replaceAll('\n', '\r\n') : changed;
}
