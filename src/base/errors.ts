/**
 * The errors that a user is meant to read.
 *
 * A message names the thing, its value and the remedy, on one line. Everything else that is thrown is a
 * defect of ours and is shown with its stack.
 */

/** A problem that the user can solve; `message` says how. */
export class UserError extends Error {
  override readonly name: string = 'UserError';
}

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a Node or addon error ("ENOENT"), undefined where there is none. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}

/** What helps where a file system takes nothing more; undefined where that is not what is wrong. */
export function remedy(error: unknown): string | undefined {
  switch (codeOf(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'make room on that file system';
    case 'EROFS':
      return 'make that file system writable';
    default:
      return undefined;
  }
}
