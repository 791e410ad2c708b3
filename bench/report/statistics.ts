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
  /** By what share the ratio of another run may well differ. 0 where that is not known, as after one round. */
  readonly uncertainty: number;
  readonly failures: readonly string[];
}

/** From this uncertainty on, a ratio is marked. */
export const NOISY = 0.1;
/** Standard deviations: nineteen of twenty runs differ by less. */
const CONFIDENCE = 2;

export function isNoisy({ uncertainty }: Figure): boolean {
  return uncertainty >= NOISY;
}

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

export function figure(
  trials: readonly Trial[],
  workload: Workload,
  metric: Metric,
  driver: string,
): Figure {
  const own = trials.filter((t) => t.workload === workload.name && t.driver === driver);
  const value = (trial: Trial | undefined) => trial?.metrics?.[metric.name];
  const values = own.map(value).filter((v) => v !== undefined);
  const all = new Map(DRIVERS.map(({ name }) => [name, ratiosOf(trials, workload, metric, name)]));
  const ratios = all.get(driver) ?? [];
  return {
    value: values.length === 0 ? undefined : spread(values),
    ratio: ratios.length === 0 ? undefined : spread(ratios),
    uncertainty: uncertaintyOf(ratios, [...all.values()]),
    failures: own.flatMap(({ error }) => (error === undefined ? [] : [error])),
  };
}

function ratiosOf(
  trials: readonly Trial[],
  workload: Workload,
  metric: Metric,
  driver: string,
): number[] {
  const baseline = baselineOf(workload, driver);
  const own = trials.filter((t) => t.workload === workload.name);
  const value = (name: string | undefined, round: number) =>
    own.find((t) => t.driver === name && t.round === round)?.metrics?.[metric.name];
  return own.flatMap((trial) => {
    if (trial.driver !== driver || metric.withoutRatio) return [];
    const [mine, other] = [value(driver, trial.round), value(baseline, trial.round)];
    if (!mine || !other) return [];
    return [metric.better === 'higher' ? mine / other : other / mine];
  });
}

/**
 * Twice the standard error of the difference between this run's median and that of another run like it. Two or three rounds can agree by
 * chance, so a driver's ratios are taken to scatter at least as much as those of the drivers usually do on the same workload (`all`).
 */
function uncertaintyOf(ratios: readonly number[], all: readonly (readonly number[])[]): number {
  const several = all.filter(({ length }) => length > 1).map(variance);
  if (ratios.length < 2 || several.length === 0) return 0;
  const deviation = Math.sqrt(Math.max(variance(ratios), spread(several).median));
  // Of a normal distribution; the median of two is their mean.
  const medianToMean = ratios.length > 2 ? Math.sqrt(Math.PI / 2) : 1;
  const ofMedian = (medianToMean * deviation) / Math.sqrt(ratios.length);
  return CONFIDENCE * Math.SQRT2 * ofMedian;
}

/** Of the logarithms, so that twice as fast is as far away as half as fast. */
function variance(values: readonly number[]): number {
  const logs = values.map(Math.log);
  const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length;
  return logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / (logs.length - 1);
}

function baselineOf(workload: Workload, driver: string): string | undefined {
  const name =
    workload.baseline === 'unaccelerated'
      ? DRIVERS.find((candidate) => candidate.name === driver)?.unaccelerated
      : workload.baseline;
  return name === driver ? undefined : name;
}
