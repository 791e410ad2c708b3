/** A workload is what a container does in a trial, and what is measured of it. */
import type { Place } from '../places/place.js';

export type Metrics = Readonly<Record<string, number>>;

export interface Metric {
  readonly name: string;
  /** Column head. */
  readonly title: string;
  readonly unit: string;
  readonly better: 'higher' | 'lower';
}

export interface Settings {
  /** Length of the measurement of workloads that last a given time. */
  readonly seconds: number;
}

export interface Workload {
  readonly name: string;
  readonly title: string;
  readonly metrics: readonly Metric[];
  /** What ratios are to: the host's network, or the same container without acceleration. */
  readonly baseline: 'host' | 'unaccelerated';
  /** How long a measurement lasts unless the user says otherwise; 0: it takes the time it takes. */
  readonly seconds: number;
  /** A shell script for the container. Its warm-up is not part of what it prints. */
  script(place: Place, settings: Settings): string;
  /** Reads what the script printed. Throws with the reason when that is not a result. */
  parse(output: string): Metrics;
  /** The fewest connections that a container which switches must have switched. */
  switchedAtLeast(metrics: Metrics): number;
}

/** For workloads that print one JSON object of numbers, on the last line. */
export function parseJsonLine(output: string): Metrics {
  const line = output.trim().split('\n').at(-1) ?? '';
  const value: unknown = JSON.parse(line);
  if (typeof value !== 'object' || value === null) throw new Error(`not a result: ${line}`);
  const metrics: Record<string, number> = {};
  for (const [name, number] of Object.entries(value)) {
    if (typeof number !== 'number') throw new Error(`not a result: ${line}`);
    metrics[name] = number;
  }
  return metrics;
}
