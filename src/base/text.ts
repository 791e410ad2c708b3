/**
 * Text from containers, files and peers, made fit for a person's terminal, log or error message.
 */

/** Longest piece of foreign text, in characters, that an error message quotes. */
const QUOTE_LIMIT = 80;

// C0 and C1 controls, line separators, and the characters that reorder text (bidirectional controls).
const UNPRINTABLE =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** Makes control and reordering characters visible as `\n`, `\x1b`, `\u202e`. */
export function escapeControl(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    switch (character) {
      case '\n':
        return '\\n';
      case '\r':
        return '\\r';
      case '\t':
        return '\\t';
    }
    const code = character.charCodeAt(0);
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** Escaped, and cut to `limit` characters with an ellipsis. */
export function shorten(text: string, limit = QUOTE_LIMIT): string {
  // Cut first: an escape makes text longer, and a hostile text may be megabytes.
  const cut = text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
  return escapeControl(cut);
}

/** A value as an error message shows it: in double quotes, escaped and shortened. */
export function quote(text: string): string {
  return `"${shorten(text)}"`;
}

/** The candidate that `word` most likely was meant to be; undefined when none is near. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) >= bestDistance) continue;
    const distance = editDistance(word, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein's distance: insertions, deletions and replacements of one character. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(replace, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
