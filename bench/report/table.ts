/** Tables of figures, for the terminal and for Markdown. */
import Table from 'cli-table3';
import { DRIVERS } from '../drivers/index.js';
import type { Column } from '../workloads/index.js';
import type { Metric } from '../workloads/workload.js';
import type { Trial } from './results.js';
import { type Figure, figure, isNoisy, NOISY, type Spread } from './statistics.js';

export interface TextTable {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly footnotes: readonly string[];
}

const NOISY_MARK = '~';

/** Those of which there is a figure, or a failure instead. */
export function measuredColumns(
  trials: readonly Trial[],
  columns: readonly Column[],
): readonly Column[] {
  return columns.filter(({ workload, metric }) => {
    const own = trials.filter((trial) => trial.workload === workload.name);
    return (
      own.some((trial) => trial.metrics?.[metric.name] !== undefined) ||
      (own.length > 0 && own.every((trial) => trial.error !== undefined))
    );
  });
}

/** A row for each driver that was tried; no columns and no rows where none of them was measured. */
export function tableOf(trials: readonly Trial[], layout: readonly Column[]): TextTable {
  const columns = measuredColumns(trials, layout);
  const used = trials.filter((t) => columns.some(({ workload }) => workload.name === t.workload));
  const drivers = DRIVERS.filter(({ name }) => used.some(({ driver }) => driver === name));
  const footnotes = new Set<string>();
  const rows = drivers.map(({ name, title }) => [
    title,
    ...columns.map(({ workload, metric }) => {
      const result = figure(used, workload, metric, name);
      const [failure] = result.failures;
      if (failure !== undefined) {
        const rounds =
          result.failures.length === 1 ? 'one round' : `${result.failures.length} rounds`;
        footnotes.add(`${name}, ${workload.name}, failed in ${rounds}: ${failure}`);
      }
      if (isNoisy(result)) {
        footnotes.add(`${NOISY_MARK} noisy: another run may differ by ${NOISY * 100} % or more`);
      }
      return cell(metric, result);
    }),
  ]);
  if (rows.length > 0 && used.every(({ round }) => round === 1)) {
    footnotes.add('one round only: how much the figures vary is not known');
  }
  return {
    head: ['', ...columns.map(({ metric }) => columnHead(metric))],
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

export function columnHead({ title, unit }: Metric): string {
  if (unit === '') return title;
  return unit === '1/s' ? `${title}/s` : `${title}, ${unit}`;
}

/** `48.1  0.98 (0.95-1.01)`: the median, and speed relative to the baseline with its range. */
function cell(metric: Metric, result: Figure): string {
  const { value, ratio, failures } = result;
  if (value === undefined) return failures.length > 0 ? 'failed' : '';
  const parts = [valueText(metric, value.median)];
  if (ratio !== undefined) {
    parts.push(`${ratioText(ratio)}${isNoisy(result) ? ` ${NOISY_MARK}` : ''}`);
  }
  if (failures.length > 0) parts.push(`${failures.length} failed`);
  return parts.join('  ');
}

function ratioText(ratio: Spread): string {
  const range = ratio.min === ratio.max ? '' : ` (${fixed(ratio.min)}–${fixed(ratio.max)})`;
  return `${fixed(ratio.median)}${range}`;
}

/** Small ratios keep two digits that say something. */
function fixed(ratio: number): string {
  return ratio < 0.095 ? ratio.toPrecision(2) : ratio.toFixed(2);
}

export function valueText({ yesNo }: Metric, value: number): string {
  if (yesNo) return value === 1 ? 'yes' : 'no';
  return number(value);
}

/** `upload 48.1 Gbit/s`. */
export function metricText(metric: Metric, value: number): string {
  return [metric.title, valueText(metric, value), metric.unit].join(' ').trimEnd();
}

/** Three digits or more, thousands separated. */
export function number(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : value >= 0.1 ? 2 : 3;
  return value.toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}
