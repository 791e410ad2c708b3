/** A workload is what is done in a trial, and what is measured of it. */
import type { Driver } from '../drivers/driver.js';
import type { Place, ServerProgram } from '../places/place.js';

export type Metrics = Readonly<Record<string, number>>;

export interface Metric {
  readonly name: string;
  /** Column head. */
  readonly title: string;
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  /** For what is often 0, so that a ratio would say nothing. */
  readonly withoutRatio?: true;
  /** 1 is yes, all else no. */
  readonly yesNo?: true;
}

export interface Settings {
  /** Length of the measurement of workloads that last a given time. */
  readonly seconds: number;
}

/** What a workload needs besides drivers; checked before anything is started. */
export interface Needs {
  /** Second machines under the bench's control, with servers: only the lab has them. */
  readonly lab?: true;
  /** What must listen on the remote machine; the lab has both. */
  readonly server?: 'iperf3' | 'http';
  /** The lab's applications, which are built only when asked for. */
  readonly applications?: true;
  /** Memory that must be free. */
  readonly memoryMiB?: number;
  readonly cores?: number;
}

interface Common {
  readonly name: string;
  readonly title: string;
  /** The programs that measure, for the documentation. */
  readonly program: string;
  readonly metrics: readonly Metric[];
  /** What ratios are to: the host's network, the same container without acceleration, or without reported names. */
  readonly baseline: 'host' | 'unaccelerated' | 'names-host';
  /** How long a measurement lasts unless the user says otherwise; 0: it takes the time it takes. */
  readonly seconds: number;
  /** How many rounds unless the user says otherwise, for what takes long; else DEFAULT_ROUNDS. */
  readonly rounds?: number;
  readonly needs?: Needs;
  /** A driver of its own that shows what could be had at best: no ratio is of it. */
  readonly reference?: string;
  /** On which drivers it makes sense; all, where this is left out. */
  suits?(driver: Driver): boolean;
}

/** One container runs a script; the usual case. */
export interface ScriptWorkload extends Common {
  readonly kind: 'script';
  /** What `podman run` gets besides. */
  readonly podmanArgs?: readonly string[];
  /** Runs on the remote machine meanwhile. */
  readonly server?: ServerProgram;
  /** A shell script for a container of the same driver on the second host, which runs meanwhile; the first half of a pair. */
  far?(place: Place): string;
  /** A shell script for the container. Its warm-up is not part of what it prints. */
  script(place: Place, settings: Settings, driver: Driver): string;
  /** Reads what the script printed. Throws with the reason when that is not a result. */
  parse(output: string): Metrics;
  /** The fewest connections that a container which switches must have switched. */
  switchedAtLeast(metrics: Metrics): number;
}

/** A container serves ports that are published; what is measured is its clients. */
export interface InboundWorkload extends Common {
  readonly kind: 'inbound';
  /** TCP ports that are published, each under its own number. */
  readonly ports: number;
  /** A shell script for the container, which runs until the container is removed. */
  serve(ports: readonly number[]): string;
  /** Where the clients are: on the remote machine, or on the host, where they use its loopback address. */
  readonly from: 'remote' | 'host';
  /** A shell script for the clients. Waits for the servers; its warm-up is not part of what it prints. */
  client(target: InboundTarget, settings: Settings): string;
  /** Reads what that printed. Throws with the reason when that is not a result. */
  parse(output: string): Metrics;
}

export interface InboundTarget {
  readonly server: string;
  readonly ports: readonly number[];
  /** The client's own address. */
  readonly client: string;
}

/** What is measured is containers themselves, from outside. */
export interface OutsideWorkload extends Common {
  readonly kind: 'outside';
  measure(trial: OutsideTrial): Promise<Metrics>;
}

/** What an OutsideWorkload has to work with. */
export interface OutsideTrial {
  readonly place: Place;
  readonly driver: Driver;
  readonly settings: Settings;
  /** `podman run` up to the image, with a new name; for one container, since some drivers need a helper for each. */
  container(options: readonly string[]): Promise<NewContainer>;
  /** Puts a command line into the raw data. */
  record(command: readonly string[]): void;
}

export interface NewContainer {
  readonly name: string;
  /** Ends with the image: the command is to follow. */
  readonly argv: readonly string[];
}

/** A test measures it, on what the bench does not make, and writes raw data like the bench's. */
export interface TestWorkload extends Common {
  readonly kind: 'test';
  /** What to run instead of the bench. */
  readonly command: readonly string[];
}

export type Workload = ScriptWorkload | InboundWorkload | OutsideWorkload | TestWorkload;

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
