/** A run on the terminal. */
import type { Run } from './results.js';
import { baselineText, shownTables } from './shown.js';
import { tableOf, terminal } from './table.js';

export function printRun(run: Run): void {
  for (const { title, columns, baseline } of shownTables(run.trials)) {
    process.stdout.write(
      `\n${title}: median, and speed relative to ${baselineText(baseline)} (range)\n${terminal(tableOf(run.trials, columns))}\n`,
    );
  }
  const { environment: at } = run;
  process.stdout.write(
    `\n${run.startedAt}, commit ${at.commit}${at.modified ? ' (modified)' : ''}, Linux ${at.kernel}, ${at.cores} x ${at.cpu}${run.complete ? '' : '; INCOMPLETE'}\n`,
  );
}
