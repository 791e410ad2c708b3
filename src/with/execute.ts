/**
 * The last thing that `sockswitch with` does: it becomes the command.
 *
 * Node.js has changed its process by then, and what is inherited with it. So it runs as a child of native/programs/start.cc,
 * which waits with the process as it was, and is told what to become. Where Node.js was started by itself ("node
 * dist/cli.js"), it becomes the command itself, and takes back what it can.
 */
import { writeFileSync, writeSync } from 'node:fs';
import { escapeControl, quote } from '../base/text.js';
import { CANNOT } from './choices.js';

const PLAN_VARIABLE = 'SOCKSWITCH_START_FD';

const { [PLAN_VARIABLE]: plan, ...BEFORE } = process.env;
delete process.env[PLAN_VARIABLE]; // it is not for what is started from here

/** Becomes the command, with the environment that is set here; where that cannot be, ends with the reason. */
export async function become(argv: readonly string[]): Promise<never> {
  if (plan !== undefined) {
    writePlan(Number(plan), argv);
    process.exit(0);
  }
  const [program = ''] = argv;
  const { isAddonError, loadAddon } = await import('../addon/addon.js'); // not where there is a plan
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

/** For native/programs/start.cc, which has the form. */
function writePlan(fd: number, argv: readonly string[]): void {
  const set = Object.entries(process.env)
    .filter(([name, value]) => value !== BEFORE[name])
    .map(([name, value = '']) => {
      const { [name]: before = '' } = BEFORE;
      return before !== '' && value.endsWith(before)
        ? `+${name}=${value.slice(0, -before.length)}`
        : `=${name}=${value}`;
    });
  writeFileSync(fd, [...set, '', ...inGiven(argv), ''].join('\0'));
}

/** The words, each of which this process was given itself by its place. They are the last that it was given. */
function inGiven(argv: readonly string[]): string[] {
  const given = process.argv.slice(2);
  let end = given.length;
  return argv
    .toReversed()
    .map((word) => {
      const at = given.lastIndexOf(word, end - 1);
      if (at < 0 || end === 0) return `=${word}`;
      end = at;
      return `@${at}`;
    })
    .toReversed();
}

/** A line on stderr, which stays as it is otherwise: the command inherits it. */
export function say(message: string): void {
  try {
    writeSync(2, `sockswitch: ${escapeControl(message)}\n`);
  } catch {
    // Nobody reads it.
  }
}
