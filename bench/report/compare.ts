/**
 * Two runs, before and after. Where both have ratios to a baseline, these are compared, since drift between the runs cancels out
 * in them; else the figures themselves.
 */
import { DRIVERS } from '../drivers/index.js';
import type { Column } from '../workloads/index.js';
import type { Metric } from '../workloads/workload.js';
import type { Run, Trial } from './results.js';
import { shownTables } from './shown.js';
import { figure, type Spread } from './statistics.js';
import { columnHead, type TextTable, valueText } from './table.js';

/** A change that small is not worth a word, however steady the figures are. */
const UNCHANGED = 0.02;

export interface Change {
  /** Speed after, relative to before: above 1 is faster. */
  readonly factor: number;
  readonly verdict: 'faster' | 'slower' | 'same' | 'within the noise';
}

/** A row for each figure that at least one of the runs has. */
export function compareRuns(before: Run, after: Run): TextTable {
  const shown = shownTables([...before.trials, ...after.trials]);
  const rows = shown.flatMap(({ columns }) =>
    columns.flatMap((column) =>
      DRIVERS.flatMap(({ name, title }) => {
        const row = compareFigure(before.trials, after.trials, column, name);
        return row === undefined ? [] : [[title, columnHead(column.metric), ...row]];
      }),
    ),
  );
  return {
    head: ['', 'figure', 'before', 'after', 'speed', ''],
    rows,
    footnotes: differences(before, after),
  };
}

function compareFigure(
  before: readonly Trial[],
  after: readonly Trial[],
  { workload, metric }: Column,
  driver: string,
): string[] | undefined {
  const old = figure(before, workload, metric, driver);
  const now = figure(after, workload, metric, driver);
  if (old.value === undefined && now.value === undefined) {
    return old.failures.length + now.failures.length > 0 ? ['failed', 'failed', '', ''] : undefined;
  }
  if (old.value === undefined || now.value === undefined) {
    return [text(metric, old.value), text(metric, now.value), '', 'only in one'];
  }
  if (metric.yesNo) {
    const same = old.value.median === now.value.median;
    return [text(metric, old.value), text(metric, now.value), '', same ? 'same' : 'changed'];
  }
  const { factor, verdict } =
    old.ratio !== undefined && now.ratio !== undefined
      ? change(old.ratio, now.ratio, 'higher', Math.max(old.uncertainty, now.uncertainty))
      : change(old.value, now.value, metric.better);
  return [text(metric, old.value), text(metric, now.value), factor.toFixed(2), verdict];
}

/** Ranges that overlap show no difference, nor do medians that differ by no more than the `uncertainty`. */
export function change(
  before: Spread,
  after: Spread,
  better: 'higher' | 'lower',
  uncertainty = 0,
): Change {
  const factor = better === 'higher' ? after.median / before.median : before.median / after.median;
  if (Math.abs(factor - 1) < UNCHANGED) return { factor, verdict: 'same' };
  const apart = before.max < after.min || after.max < before.min;
  if (!apart || Math.abs(Math.log(factor)) <= uncertainty)
    return { factor, verdict: 'within the noise' };
  return { factor, verdict: factor > 1 ? 'faster' : 'slower' };
}

function text(metric: Metric, value: Spread | undefined): string {
  return value === undefined ? '-' : valueText(metric, value.median);
}

/** What makes absolute figures incomparable. */
function differences(before: Run, after: Run): string[] {
  const names = ['kernel', 'cpu', 'cores', 'place'] as const;
  return names.flatMap((name) => {
    const [old, now] = [before.environment[name], after.environment[name]];
    return old === now ? [] : [`not the same ${name}: ${old} before, ${now} after`];
  });
}
