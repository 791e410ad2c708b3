/**
 * Replaces one member of a JSON text and leaves every other byte as it is.
 *
 * A spec holds numbers that JavaScript cannot hold (an unlimited rlimit is 18446744073709551615), so
 * parsing it and printing it again would change it. The text must be known to be valid JSON: call
 * JSON.parse first. Where a key stands twice in an object the last one counts, as for JSON.parse.
 */

interface Span {
  /** Offset of the value's first character. */
  readonly start: number;
  /** Offset behind the value's last character. */
  readonly end: number;
}

/** The span of the value at `path` ("linux", "seccomp"), undefined when there is none. */
export function findMember(text: string, path: readonly string[]): Span | undefined {
  let span: Span = { start: skipBlanks(text, 0), end: text.length };
  for (const key of path) {
    const member = memberOf(text, span.start, key);
    if (member === undefined) return undefined;
    span = member;
  }
  return span;
}

/** The text with the member `key` of the object at `parent` set to `json`. The parent must exist. */
export function setMember(
  text: string,
  parent: readonly string[],
  key: string,
  json: string,
): string {
  const object = findMember(text, parent);
  if (object === undefined || text[object.start] !== '{') {
    throw new RangeError(`no object at ${parent.join('.')}`);
  }
  const member = memberOf(text, object.start, key);
  if (member !== undefined) return text.slice(0, member.start) + json + text.slice(member.end);
  const inside = object.start + 1;
  const empty = text[skipBlanks(text, inside)] === '}';
  const insertion = `${JSON.stringify(key)}:${json}${empty ? '' : ','}`;
  return text.slice(0, inside) + insertion + text.slice(inside);
}

function memberOf(text: string, objectStart: number, key: string): Span | undefined {
  if (text[objectStart] !== '{') return undefined;
  let found: Span | undefined;
  let at = skipBlanks(text, objectStart + 1);
  while (text[at] === '"') {
    const keyEnd = skipString(text, at);
    const name: unknown = JSON.parse(text.slice(at, keyEnd));
    const start = skipBlanks(text, skipBlanks(text, keyEnd) + 1); // behind the colon
    const end = skipValue(text, start);
    if (name === key) found = { start, end };
    at = skipBlanks(text, end);
    if (text[at] !== ',') break;
    at = skipBlanks(text, at + 1);
  }
  return found;
}

function skipBlanks(text: string, at: number): number {
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at++;
  return at;
}

function skipString(text: string, at: number): number {
  for (at++; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at + 1;
  }
  return at;
}

function skipValue(text: string, at: number): number {
  const first = text[at];
  if (first === '"') return skipString(text, at);
  if (first !== '{' && first !== '[') {
    while (at < text.length && !/[\s,\]}]/.test(text[at] ?? '')) at++;
    return at;
  }
  let depth = 0;
  while (at < text.length) {
    const character = text[at];
    if (character === '"') {
      at = skipString(text, at);
      continue;
    }
    at++;
    if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') {
      depth--;
      if (depth === 0) return at;
    }
  }
  return at;
}
