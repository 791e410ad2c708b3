/** Tables of figures, for the terminal and for Markdown. */
import Table from 'cli-table3';
import { DRIVERS } from '../drivers/index.js';
import type { Metric, Workload } from '../workloads/workload.js';
import type { Trial } from './results.js';
import { type Figure, figure, isNoisy, type Spread } from './statistics.js';

export interface TextTable {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly footnotes: readonly string[];
}

const NOISY_MARK = '~';

/** A row for each driver, a column for each metric of the workloads. */
export function tableOf(trials: readonly Trial[], workloads: readonly Workload[]): TextTable {
  const columns = workloads.flatMap((workload) =>
    workload.metrics.map((metric) => ({ workload, metric })),
  );
  const used = trials.filter((t) => workloads.some(({ name }) => name === t.workload));
  const drivers = DRIVERS.filter(({ name }) => used.some(({ driver }) => driver === name));
  const footnotes = new Set<string>();
  const rows = drivers.map(({ name, title }) => [
    title,
    ...columns.map(({ workload, metric }) => {
      const result = figure(used, workload, metric, name);
      for (const failure of result.failures) {
        footnotes.add(`${name}, ${workload.name}, failed: ${failure}`);
      }
      if (result.ratio !== undefined && isNoisy(result.ratio)) {
        footnotes.add(`${NOISY_MARK} noisy: the ratios of the rounds differ by more than 20 %`);
      }
      return cell(result);
    }),
  ]);
  return {
    head: ['', ...columns.map(({ metric }) => head(metric))],
    rows,
    footnotes: [...footnotes],
  };
}

export function terminal({ head, rows, footnotes }: TextTable): string {
  const table = new Table({
    head: [...head],
    style: { head: [], border: [] },
    colAligns: head.map((_, index) => (index === 0 ? 'left' : 'right')),
  });
  for (const row of rows) table.push([...row]);
  return [table.toString(), ...footnotes.map((note) => `  ${note}`)].join('\n');
}

export function markdown({ head, rows, footnotes }: TextTable): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escapeCell).join(' | ')} |`;
  const rule = head.map((_, index) => (index === 0 ? '---' : '---:'));
  const table = [line(head), line(rule), ...rows.map(line)].join('\n');
  const notes = footnotes.map((note) => `\n\n${escapeCell(note)}`).join('');
  return `${table}${notes}`;
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

function head({ title, unit }: Metric): string {
  return unit === '1/s' ? `${title}/s` : `${title}, ${unit}`;
}

/** `48.1  0.98 (0.95-1.01)`: the median, and speed relative to the baseline with its range. */
function cell({ value, ratio, failures }: Figure): string {
  if (value === undefined) return failures.length > 0 ? 'failed' : '';
  const parts = [number(value.median)];
  if (ratio !== undefined) parts.push(ratioText(ratio));
  if (failures.length > 0) parts.push(`${failures.length} failed`);
  return parts.join('  ');
}

function ratioText(ratio: Spread): string {
  const range = ratio.min === ratio.max ? '' : ` (${fixed(ratio.min)}–${fixed(ratio.max)})`;
  return `${fixed(ratio.median)}${range}${isNoisy(ratio) ? ` ${NOISY_MARK}` : ''}`;
}

/** Small ratios keep two digits that say something. */
function fixed(ratio: number): string {
  return ratio < 0.095 ? ratio.toPrecision(2) : ratio.toFixed(2);
}

/** Three digits or more, thousands separated. */
export function number(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : value >= 0.1 ? 2 : 3;
  return value.toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}
