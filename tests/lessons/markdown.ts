// The little Markdown that the lessons' texts are written in, for a terminal and for a page: headings, paragraphs,
// lists, code, **bold**, _stressed_, `code` and [links](to). What is not in here is not used there: `parse` throws.

/** A piece of a text, from top to bottom. */
export type Block =
  | { kind: 'heading'; level: number; text: string }
  | { kind: 'paragraph'; text: string }
  | { kind: 'list'; isOrdered: boolean; items: string[] }
  | { kind: 'code'; text: string };

/** Blocks stand between empty lines. @throws {Error} at what this Markdown doesn't have */
export function parse(markdown: string): Block[] {
  return markdown
    .replaceAll('\r\n', '\n')
    .trim()
    .split(/\n{2,}/)
    .map(parseBlock);
}

function parseBlock(part: string): Block {
  const heading = /^(#{1,3}) (.+)$/.exec(part);
  if (heading) return { kind: 'heading', level: heading[1]!.length, text: heading[2]! };
  if (part.startsWith('```') && part.endsWith('\n```'))
    return { kind: 'code', text: part.replace(/^```\w*\n|\n```$/g, '') };
  if (/^(\d+\.|-) /.test(part)) {
    const items = part.split(/\n(?=(?:\d+\.|-) )/);
    const texts = items.map((item) => item.replace(/^(\d+\.|-) /, '').replace(/\n\s*/g, ' '));
    return { kind: 'list', isOrdered: /^\d/.test(part), items: texts };
  }
  if (/^([#>|<]|```)/.test(part))
    throw new Error(`There is no such thing in the Markdown of a lesson: ${part}`);
  return { kind: 'paragraph', text: part.replaceAll('\n', ' ') };
}

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\b_([^_]+)_\b|\[([^\]]+)\]\(([^)]+)\)/g;
const WIDTH = 88;

/** For a terminal; with colours and weights where it can show them. */
export function toTerminal(markdown: string, isColoured: boolean): string {
  const styled = (code: number, text: string) => (isColoured ? `\x1b[${code}m${text}\x1b[0m` : text);
  const inline = (text: string) =>
    text.replace(INLINE, (_, code, bold, stressed, link, to) => {
      if (code) return styled(36, isColoured ? code : `\`${code}\``);
      return link ? `${link} (${to})` : styled(bold ? 1 : 3, bold ?? stressed);
    });
  const blocks = parse(markdown).map((block) => {
    if (block.kind === 'heading') return styled(1, block.text);
    if (block.kind === 'code') return block.text.replace(/^/gm, '    ');
    if (block.kind === 'paragraph') return inline(wrap(block.text, ''));
    const marks = block.items.map(
      (item, index) => (block.isOrdered ? `${index + 1}. ` : '- ') + wrap(item, '   ').trimStart(),
    );
    return inline(marks.join('\n'));
  });
  return blocks.join('\n\n');
}

function wrap(text: string, indent: string): string {
  const lines = [''];
  for (const word of text.split(' ')) {
    if (lines.at(-1)!.length + word.length > WIDTH) lines.push('');
    lines[lines.length - 1] += `${lines.at(-1) === '' ? indent : ' '}${word}`;
  }
  return lines.join('\n');
}

/** For a page. Headings begin at `<h1>`. */
export function toHtml(markdown: string): string {
  const inline = (text: string) =>
    escapeHtml(text).replace(INLINE, (_, code, bold, stressed, link, to) => {
      if (code) return `<code>${code}</code>`;
      if (link) return `<a href="${to}">${link}</a>`;
      return bold ? `<strong>${bold}</strong>` : `<em>${stressed}</em>`;
    });
  const blocks = parse(markdown).map((block) => {
    if (block.kind === 'heading') return `<h${block.level}>${inline(block.text)}</h${block.level}>`;
    if (block.kind === 'code') return `<pre>${escapeHtml(block.text)}</pre>`;
    if (block.kind === 'paragraph') return `<p>${inline(block.text)}</p>`;
    const tag = block.isOrdered ? 'ol' : 'ul';
    return `<${tag}>\n${block.items.map((item) => `  <li>${inline(item)}</li>`).join('\n')}\n</${tag}>`;
  });
  return blocks.join('\n');
}

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
