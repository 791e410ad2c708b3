/** Running programs: output collected, errors that say what the program said. */
import { execa } from 'execa';
import { checkInterrupted, interrupted } from './interrupt.js';

const LINES_SHOWN = 4;

export class CommandError extends Error {
  override readonly name = 'CommandError';
}

export interface ExecuteOptions {
  readonly timeoutMs?: number;
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Called for each line of stderr while the program runs. */
  readonly onLine?: (line: string) => void;
  /** Also runs after an interrupt: for cleaning up. */
  readonly always?: boolean;
}

const TIMEOUT_MS = 60_000;

/** What all children have in common. */
export const CHILD = {
  reject: false,
  detached: true, // a terminal's Ctrl-C is for us only
  forceKillAfterDelay: 5_000,
} as const;

/** Runs a program and returns its stdout. Throws CommandError when it fails, Interrupted on Ctrl-C. */
export async function execute(
  argv: readonly string[],
  options: ExecuteOptions = {},
): Promise<string> {
  if (options.always !== true) checkInterrupted();
  const [file = '', ...args] = argv;
  const child = execa(file, args, {
    ...CHILD,
    timeout: options.timeoutMs ?? TIMEOUT_MS,
    ...(options.input === undefined ? { stdin: 'ignore' } : { input: options.input }),
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.always === true ? {} : { cancelSignal: interrupted }),
  });
  if (options.onLine !== undefined) {
    for await (const line of child.iterable({ from: 'stderr' })) options.onLine(String(line));
  }
  const result = await child;
  if (options.always !== true) checkInterrupted();
  if (result.exitCode === 0) return result.stdout;
  throw new CommandError(
    `${file}: ${result.timedOut ? 'took too long' : lastLines(`${result.stdout}\n${result.stderr}`) || result.shortMessage}`,
  );
}

/** The end of what a program said, on one line. */
export function lastLines(text: string): string {
  const lines = text.split('\n').map((line) => line.trim());
  return [...new Set(lines.filter((line) => line !== ''))].slice(-LINES_SHOWN).join(' | ');
}
