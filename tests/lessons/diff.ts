// The lines that differ between two texts, as a reader wants them: a few lines around each change. Written here,
// since not every machine that a lesson is taught on has git or diff.

const CONTEXT_LINES = 2;

/** A line of a comparison: in both texts, only in the old one, or only in the new one. */
export type Line = { mark: ' ' | '-' | '+'; text: string };

/** Compares line by line, by the longest common subsequence. */
export function compare(before: string, after: string): Line[] {
  const [old, now] = [before, after].map((text) => text.replaceAll('\r\n', '\n').split('\n')) as [
    string[],
    string[],
  ];
  // common[i][j]: how many lines old from i on and now from j on have in common
  const common = Array.from({ length: old.length + 1 }, () => new Uint32Array(now.length + 1));
  for (let i = old.length - 1; i >= 0; i -= 1)
    for (let j = now.length - 1; j >= 0; j -= 1)
      common[i]![j] =
        old[i] === now[j] ? common[i + 1]![j + 1]! + 1 : Math.max(common[i + 1]![j]!, common[i]![j + 1]!);
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    const isSame = i < old.length && j < now.length && old[i] === now[j];
    const isOld = j >= now.length || (i < old.length && common[i + 1]![j]! >= common[i]![j + 1]!);
    const mark = isSame ? ' ' : isOld ? '-' : '+';
    lines.push({ mark, text: mark === '+' ? now[j]! : old[i]! });
    if (mark !== '+') i += 1;
    if (mark !== '-') j += 1;
  }
  return lines;
}

/** The changes alone, with the lines around them; `…` where something is left out. Coloured on a terminal. */
export function changedLines(before: string, after: string, isColoured = process.stdout.isTTY): string {
  const lines = compare(before, after);
  const isNear = lines.map((_, at) =>
    lines.slice(Math.max(0, at - CONTEXT_LINES), at + CONTEXT_LINES + 1).some(({ mark }) => mark !== ' '),
  );
  const shown: string[] = [];
  lines.forEach((line, at) => {
    if (isNear[at]) shown.push(paint(line, isColoured));
    else if (isNear[at - 1]) shown.push('…');
  });
  return shown.join('\n') || 'There is no difference.';
}

function paint({ mark, text }: Line, isColoured: boolean): string {
  const colour = isColoured ? { ' ': 0, '-': 31, '+': 32 }[mark] : 0;
  return colour ? `\x1b[${colour}m${mark} ${text}\x1b[0m` : `${mark} ${text}`;
}
