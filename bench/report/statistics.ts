/** From trials to figures: medians, and ratios that are paired by round. */
import { DRIVERS } from '../drivers/index.js';
import type { Metric, Workload } from '../workloads/workload.js';
import type { Trial } from './results.js';

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface Figure {
  /** Undefined when every trial failed, or there was none. */
  readonly value: Spread | undefined;
  /**
   * Speed relative to the baseline in the same round, so that above 1 is always faster. Undefined for the baseline
   * itself and without one.
   */
  readonly ratio: Spread | undefined;
  readonly failures: readonly string[];
}

/** A ratio's range above this share of its median is called noisy. */
export const NOISY = 0.2;

/** Throws on an empty list. */
export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (index: number): number => {
    const value = sorted[index];
    if (value === undefined) throw new Error('no values');
    return value;
  };
  const middle = Math.floor(sorted.length / 2);
  const median = sorted.length % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2;
  return { median, min: at(0), max: at(sorted.length - 1) };
}

export function isNoisy({ median, min, max }: Spread): boolean {
  return max - min > NOISY * median;
}

export function figure(
  trials: readonly Trial[],
  workload: Workload,
  metric: Metric,
  driver: string,
): Figure {
  const own = trials.filter((t) => t.workload === workload.name && t.driver === driver);
  const value = (trial: Trial | undefined) => trial?.metrics?.[metric.name];
  const values = own.map(value).filter((v) => v !== undefined);
  const baseline = baselineOf(workload, driver);
  const ratios = own.flatMap((trial) => {
    const mine = value(trial);
    const other = value(
      trials.find(
        (t) => t.workload === workload.name && t.driver === baseline && t.round === trial.round,
      ),
    );
    if (metric.withoutRatio || !mine || !other) return [];
    return [metric.better === 'higher' ? mine / other : other / mine];
  });
  return {
    value: values.length === 0 ? undefined : spread(values),
    ratio: ratios.length === 0 ? undefined : spread(ratios),
    failures: own.flatMap(({ error }) => (error === undefined ? [] : [error])),
  };
}

function baselineOf(workload: Workload, driver: string): string | undefined {
  const name =
    workload.baseline === 'host'
      ? 'host'
      : DRIVERS.find((candidate) => candidate.name === driver)?.unaccelerated;
  return name === driver ? undefined : name;
}
