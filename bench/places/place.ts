/** Where containers run: the lab's host1, or the user's own machine. Drivers and workloads see only this. */
import { z } from 'zod';
import type { ExecuteOptions } from '../runner/execute.js';

/** A server that the bench starts on the remote machine for as long as a workload needs it. */
export interface ServerProgram {
  readonly name: string;
  /** Nothing else may listen there. */
  readonly port: number;
  /** A shell script that runs as root until it is ended, with SIGTERM. */
  readonly script: string;
  /** A shell command that succeeds once the server can be used; prepares its data, too. */
  readonly ready: string;
}

export interface RunningServer {
  readonly stop: () => Promise<void>;
}

export interface Place {
  readonly kind: 'lab' | 'local';
  /** This host's own address. */
  readonly address: string;
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
  /** The same host, with root's Podman; undefined where this is not to be had. */
  readonly rootful?: Place;
  /** A second host like this one. */
  readonly peer?: Place;

  /** What to start instead of `argv` so that it runs there as the user. */
  asUser(argv: readonly string[]): string[];
  /** The same as root; undefined where this is not to be had. */
  asRoot?(argv: readonly string[]): string[];
  /** Runs a program there as the user and returns its stdout. */
  run(argv: readonly string[], options?: ExecuteOptions): Promise<string>;
  /** How many connections of a container were switched; undefined if it is not an accelerated one. */
  switched(containerId: string): Promise<number | undefined>;
  /** Bytes of anonymous memory of sockswitch's daemon and keeper. */
  productMemory(): Promise<number>;
  /** What to start instead of `argv` so that it runs on the remote machine, as root. */
  readonly onRemote?: (argv: readonly string[]) => string[];
  /** Resolves when the server can be used. */
  readonly startServer?: (program: ServerProgram) => Promise<RunningServer>;
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

/** What `sockswitch status --json` says that is needed here. */
export const daemonStatus = z.object({
  pid: z.int(),
  kernel: z.object({ socketGuard: z.boolean() }),
});

/** productMemory from the text of `sockswitch status --json`: the daemon's, and its user's keepers'. */
export async function memoryOfProduct(status: string, run: Place['run']): Promise<number> {
  const { pid } = daemonStatus.parse(JSON.parse(status));
  const script = `{ cat /proc/"$1"/status
    for name in /proc/[0-9]*/comm; do
      [ "$(cat "$name" 2>/dev/null)" != sockswitch-keep ] || cat "\${name%comm}status"
    done; } | awk '/^RssAnon:/ { total += $2 } END { print total * 1024 }'`;
  return Number(await run(['sh', '-c', script, 'sh', String(pid)]));
}
