/** Which tables a run fills, in their order: the same for the terminal, Markdown and HTML. */
import { type Column, SUITES } from '../workloads/index.js';
import type { Workload } from '../workloads/workload.js';
import type { Trial } from './results.js';
import { measuredColumns } from './table.js';

export interface ShownTable {
  readonly title: string;
  readonly columns: readonly Column[];
  readonly baseline: Workload['baseline'];
}

export function shownTables(trials: readonly Trial[]): ShownTable[] {
  return SUITES.flatMap(({ tables }) => tables).flatMap(({ title, columns }) => {
    const measured = measuredColumns(trials, columns);
    const [first] = measured;
    return first === undefined
      ? []
      : [{ title, columns: measured, baseline: first.workload.baseline }];
  });
}

/** `quote` goes around what is a literal. */
export function baselineText(baseline: Workload['baseline'], quote = ''): string {
  switch (baseline) {
    case 'host':
      return `${quote}--network=host${quote}`;
    case 'names-host':
      return `the same container with ${quote}sockswitch/names=host${quote}`;
    case 'unaccelerated':
      return 'the same container without acceleration';
  }
}
