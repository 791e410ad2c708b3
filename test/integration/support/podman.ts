/**
 * Containers on the lab's hosts, and what sockswitch counts of them.
 *
 * A container that a test makes has a name of its own and is removed after the file, whatever happened.
 */
import { afterAll } from 'vitest';
import { z } from 'zod';
import {
  describeResult,
  eventually,
  type Host,
  host1,
  type Result,
  type RunOptions,
} from './lab.js';
import type { Runtime } from './places.js';

export const ENABLED = { 'sockswitch/enable': 'true' } as const;
const BRIDGE = 'sockswitch-test';

export interface ContainerOptions {
  readonly host?: Host;
  /** Also with options of its own, such as `pasta:--map-gw`; empty: none is asked for (a pod has one). */
  readonly network?: string;
  readonly runtime?: Runtime;
  readonly annotations?: Readonly<Record<string, string>>;
  /** More options of `podman run`. */
  readonly args?: readonly string[];
  readonly image?: string;
}

let count = 0;
const made: { host: Host; id: string }[] = [];

afterAll(async () => {
  for (const { host, id } of made.splice(0)) await removeContainer(host, id);
});

/** `podman run --rm` to its end. */
export async function podmanRun(
  options: ContainerOptions & { readonly command: readonly string[] } & RunOptions,
): Promise<Result> {
  const host = options.host ?? host1;
  await ensureNetwork(host, options.network);
  return host.run([...podmanWords(options, ['--rm', '-i']), ...options.command], options);
}

/** `podman run -d`. `command` must stay; left out, the container sleeps and is only used by exec. */
export async function startContainer(
  options: ContainerOptions & { readonly command?: readonly string[] } = {},
): Promise<Container> {
  const host = options.host ?? host1;
  await ensureNetwork(host, options.network);
  const name = `test-${process.pid}-${++count}`;
  made.push({ host, id: name });
  const words = podmanWords(options, ['-d', '--name', name]);
  const command = options.command ?? ['sleep', 'infinity'];
  const id = (await host.output([...words, ...command])).trim();
  return new Container(host, id, name);
}

/** The words of `podman run` up to the image; the network has to be there. */
export function podmanWords(options: ContainerOptions, how: readonly string[]): string[] {
  const annotations = Object.entries(options.annotations ?? {}).flatMap(([key, value]) => [
    '--annotation',
    `${key}=${value}`,
  ]);
  return [
    ...['podman', '--runtime', options.runtime ?? 'crun', 'run', ...how],
    ...[...networkWords(options.network ?? 'pasta'), ...annotations, ...(options.args ?? [])],
    options.image ?? 'localhost/lab',
  ];
}

function networkWords(network: string): string[] {
  if (network === '') return [];
  return ['--network', network === 'bridge' ? BRIDGE : network];
}

export async function ensureNetwork(host: Host, network: string | undefined): Promise<void> {
  if (network !== 'bridge') return;
  // Not "create --ignore", which Podman 4.3 does not know.
  const create = `podman network exists ${BRIDGE} || podman network create ${BRIDGE}`;
  await host.output(['sh', '-c', create]);
}

async function removeContainer(host: Host, id: string): Promise<void> {
  await host.run(['podman', 'rm', '--force', '--ignore', '--time', '0', id]);
}

export class Container {
  readonly host: Host;
  readonly id: string;
  readonly name: string;

  constructor(host: Host, id: string, name: string) {
    this.host = host;
    this.id = id;
    this.name = name;
  }

  exec(
    command: readonly string[],
    options: RunOptions & { readonly args?: readonly string[] } = {},
  ): Promise<Result> {
    return this.host.run(
      ['podman', 'exec', '-i', ...(options.args ?? []), this.id, ...command],
      options,
    );
  }

  sh(script: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Result> {
    return this.exec(['bash', '-c', script, 'bash', ...args], options);
  }

  /** Standard output of a command that must succeed in the container. */
  async output(command: readonly string[], options: RunOptions = {}): Promise<string> {
    const result = await this.exec(command, options);
    if (result.status !== 0) throw new Error(describeResult(command, result));
    return result.stdout;
  }

  /** Runs `script` in the background of the container; returns when `ready` succeeds there. */
  async serve(script: string, ready: string): Promise<void> {
    const start = `setsid bash -c "$1" </dev/null >/tmp/server.log 2>&1 & disown`;
    const result = await this.sh(start, [script]);
    if (result.status !== 0) throw new Error(describeResult([script], result));
    await eventually(`"${script}" in ${this.name}`, async () =>
      (await this.sh(ready)).status === 0 ? true : undefined,
    );
  }

  logs(): Promise<Result> {
    return this.host.run(['podman', 'logs', this.id]);
  }

  counters(): Promise<Counters | undefined> {
    return counters(this.id, this.host);
  }

  remove(): Promise<void> {
    return removeContainer(this.host, this.id);
  }
}

export interface Counters {
  readonly switched: number;
  readonly fallback: number;
  readonly passed: number;
  /** By outcome (native/base/outcome.cc), without those that are `passed`. */
  readonly reasons: Readonly<Record<string, number>>;
}

const listSchema = z.object({
  containers: z.array(
    z.object({
      id: z.string(),
      status: z.string(),
      counts: z.object({
        switched: z.int(),
        fallback: z.int(),
        passed: z.int(),
      }),
      reasons: z.array(z.object({ outcome: z.string(), count: z.int() })),
      kubernetes: z.record(z.string(), z.string()).optional(),
      nested: z.object({ networks: z.int(), connects: z.int() }).optional(),
    }),
  ),
  incidents: z.array(
    z.object({ kind: z.string(), container: z.string().optional(), message: z.string() }),
  ),
});

/** What `sockswitch ps --json` prints, asked of the daemon itself: `ps` also asks Podman for names. */
export async function ps(host: Host = host1): Promise<z.infer<typeof listSchema>> {
  const ask = `curl -sS --unix-socket "$XDG_RUNTIME_DIR/sockswitch/control.sock" http://daemon/v1/containers`;
  return listSchema.parse(JSON.parse(await host.output(['sh', '-c', ask])));
}

/** Of one container; undefined when sockswitch does not serve it. */
export async function counters(id: string, host: Host = host1): Promise<Counters | undefined> {
  const row = (await ps(host)).containers.find((container) => container.id === id);
  if (row === undefined) return undefined;
  const reasons = Object.fromEntries(row.reasons.map(({ outcome, count }) => [outcome, count]));
  return { ...row.counts, reasons };
}

/** What was counted between two readings. */
export function difference(before: Counters, after: Counters): Counters {
  const names = new Set([...Object.keys(before.reasons), ...Object.keys(after.reasons)]);
  const reasons: Record<string, number> = {};
  for (const name of names) {
    const count = (after.reasons[name] ?? 0) - (before.reasons[name] ?? 0);
    if (count !== 0) reasons[name] = count;
  }
  return {
    switched: after.switched - before.switched,
    fallback: after.fallback - before.fallback,
    passed: after.passed - before.passed,
    reasons,
  };
}

/** Waits until a container's counters are as wanted: they move a moment after the call was answered. */
export async function eventuallyCounters(
  container: Container,
  wanted: (counters: Counters) => boolean,
): Promise<Counters> {
  return eventually(`counters of ${container.name}`, async () => {
    const counters = await container.counters();
    return counters !== undefined && wanted(counters) ? counters : undefined;
  });
}

/** Waits until a container's output has the text. */
export async function logged(container: Container, text: string): Promise<void> {
  await eventually(`"${text}" in the log of ${container.name}`, async () =>
    (await container.logs()).stdout.includes(text) ? true : undefined,
  );
}

const DEFAULT_V6 = 'ip -6 route show default | grep -q .';
const WAIT_FOR_V6 = `for try in $(seq 100); do ${DEFAULT_V6} && exit; sleep 0.1; done; exit 1`;

/**
 * Whether a place has IPv6. slirp4netns announces its router a moment after the start, so that is waited for;
 * `podman network create` makes networks without IPv6 unless it is told otherwise.
 */
export async function hasIpv6(pair: {
  readonly network: string;
  readonly accelerated: Container;
  readonly plain: Container;
}): Promise<boolean> {
  const script = pair.network === 'bridge' ? DEFAULT_V6 : WAIT_FOR_V6;
  const [one, other] = [await pair.plain.sh(script), await pair.accelerated.sh(script)];
  if (one.status !== other.status) throw new Error('IPv6 in one container only');
  return one.status === 0;
}
