// Names and texts of others as SQL wants them: a quote inside is doubled, and then any character may stand in one.

/** The name of a table or a column, in the case in which it was made. */
export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text. */
export function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}
