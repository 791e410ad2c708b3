/** Where containers run: the lab's host1, or the user's own machine. Drivers and workloads see only this. */
import type { ExecuteOptions } from '../runner/execute.js';

export interface Place {
  readonly kind: 'lab' | 'local';
  /** The remote machine's address. iperf3 listens on 5201, an HTTP server on `httpPort`. */
  readonly server: string;
  readonly httpPort: number;
  readonly image: string;
  /** `podman`, with the global options that this place needs. */
  readonly podman: readonly string[];
  /** What makes `podman run` put the static probe (workloads/probe.c) at /probe. */
  readonly probeArgs: readonly string[];
  /** What `podman run` gets besides for containers with a network namespace of their own. */
  readonly ownNetworkArgs: readonly string[];
  /** A directory that the user may write to, gone after `close`. */
  readonly scratch: string;

  /** What to start instead of `argv` so that it runs there as the user. */
  asUser(argv: readonly string[]): string[];
  /** The same as root; undefined where this is not to be had. */
  asRoot?(argv: readonly string[]): string[];
  /** Runs a program there as the user and returns its stdout. */
  run(argv: readonly string[], options?: ExecuteOptions): Promise<string>;
  /** How many connections of a container were switched; undefined if it is not an accelerated one. */
  switched(containerId: string): Promise<number | undefined>;
  /** Leaves nothing behind. */
  close(): Promise<void>;
}

/** The part of `sockswitch ps --json` and of the control API that is needed here. */
export interface AcceleratedContainers {
  readonly containers: readonly {
    readonly id: string;
    readonly counts: { readonly switched?: number };
  }[];
}

export function switchedOf(list: AcceleratedContainers, id: string): number | undefined {
  const container = list.containers.find((row) => row.id === id);
  return container === undefined ? undefined : (container.counts.switched ?? 0);
}
