/** The order of trials: round by round, workload by workload; drivers follow one another in an order that rotates. */
import type { Driver } from '../drivers/driver.js';
import type { Workload } from '../workloads/workload.js';

export interface PlannedTrial {
  readonly workload: Workload;
  readonly driver: Driver;
  /** From 1. */
  readonly round: number;
}

/** Of a workload that says nothing else. */
export const DEFAULT_ROUNDS = 3;

/** `rounds`: instead of each workload's own. */
export function planTrials(
  workloads: readonly Workload[],
  drivers: readonly Driver[],
  rounds: number | undefined,
): PlannedTrial[] {
  const roundsOf = (workload: Workload) => rounds ?? workload.rounds ?? DEFAULT_ROUNDS;
  const last = Math.max(0, ...workloads.map(roundsOf));
  const planned: PlannedTrial[] = [];
  for (let round = 1; round <= last; round++) {
    for (const [index, workload] of workloads.entries()) {
      if (round > roundsOf(workload)) continue;
      for (const driver of rotate(suitable(workload, drivers), round - 1 + index)) {
        planned.push({ workload, driver, round });
      }
    }
  }
  return planned;
}

/** Without those that it does not suit, and those that are neither compared nor compared with, nor its reference. */
function suitable(workload: Workload, drivers: readonly Driver[]): readonly Driver[] {
  const suited = drivers.filter((driver) => {
    if (driver.reference === true) return driver.name === workload.reference;
    return workload.suits?.(driver) ?? true;
  });
  if (workload.baseline !== 'unaccelerated') return suited;
  const baselines = new Set(suited.map(({ unaccelerated }) => unaccelerated));
  return suited.filter(
    ({ name, unaccelerated, reference }) =>
      unaccelerated !== undefined || baselines.has(name) || reference === true,
  );
}

export function rotate<T>(list: readonly T[], by: number): T[] {
  const start = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}
