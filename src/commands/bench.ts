/** `sockswitch bench`: the benchmarks (bench/) are a program of their own; it takes the terminal and the arguments over. */
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { execa } from 'execa';
import { UserError } from '../base/errors.js';
import { benchProgram } from '../base/paths.js';

/** Sets the exit status to that of the benchmarks. */
export async function bench(words: readonly string[]): Promise<void> {
  const program = benchProgram();
  if (!existsSync(program)) {
    throw new UserError(
      `${program} is missing: run "npm run build" in the directory of sockswitch`,
    );
  }
  const child = execa(process.execPath, [program, 'local', ...words], {
    stdio: 'inherit',
    reject: false,
  });
  // This process waits until the other has cleaned up. A terminal sends Ctrl-C to both: twice is once to the other.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => child.kill(signal));
  }
  const { exitCode, signal } = await child;
  process.exitCode = exitCode ?? 128 + (signal === undefined ? 0 : constants.signals[signal]);
}
