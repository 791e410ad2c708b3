/** The last thing that `sockswitch with` does: it becomes the command. */
import { writeSync } from 'node:fs';
import { isAddonError, loadAddon } from '../addon/addon.js';
import { escapeControl, quote } from '../base/text.js';
import { CANNOT } from './choices.js';

/** Becomes the command; where that cannot be, ends with the reason. */
export function become(argv: readonly string[]): never {
  const [program = ''] = argv;
  let failure: unknown;
  try {
    loadAddon().execute({ argv });
  } catch (error) {
    failure = error;
  }
  if (!isAddonError(failure)) throw failure;
  if (failure.code === 'ENOENT') {
    say(`there is no command ${quote(program)}: check its spelling, and PATH`);
    process.exit(CANNOT.find);
  }
  say(`cannot execute ${quote(program)} (${failure.code}): check its mode and its format`);
  process.exit(CANNOT.execute);
}

/** A line on stderr, which stays as it is otherwise: the command inherits it. */
export function say(message: string): void {
  try {
    writeSync(2, `sockswitch: ${escapeControl(message)}\n`);
  } catch {
    // Nobody reads it.
  }
}
