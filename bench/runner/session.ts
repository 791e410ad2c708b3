/**
 * One container for one measurement. The measurement is the container's main process, not a `podman exec`: a second entry into the
 * container would be one more thing that differs between drivers (bypass4netns ends at it).
 *
 * The script's output comes first, then a line with its exit status; then the container waits for its stdin to close. In
 * between its counters can be read.
 */

import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import type { Driver } from '../drivers/driver.js';
import type { Place } from '../places/place.js';
import { CHILD, CommandError, lastLines } from './execute.js';
import { checkInterrupted, Interrupted, interrupted } from './interrupt.js';

/** Where containers have the probe. */
export const PROBE = '/probe';

const END_MARK = 'sockswitch-bench: the script ended with status ';
const TIMEOUT_MS = 45_000;
const AGAIN_MS = 500;
let serial = 0;

export interface SessionResult {
  readonly output: string;
  /** Connections switched; undefined if sockswitch did not serve the container. */
  readonly switched: number | undefined;
}

/** `podman run ...` up to the image, for running and for the record. */
export function podmanRun(place: Place, driver: Driver, options: readonly string[]): string[] {
  return [
    ...place.podman,
    ...['run', '--pull=never'],
    ...driver.podmanArgs,
    ...(driver.ownNetwork ? place.ownNetworkArgs : []),
    ...options,
    ...place.probeArgs,
    place.image,
  ];
}

/** What follows it so that runSession finds the end of the script. */
export function scriptArgs(script: string): string[] {
  const wrapped = `(${script}\n) </dev/null; printf '\\n%s%s\\n' '${END_MARK}' $?; read -r _ || :`;
  return ['sh', '-c', wrapped];
}

export interface BackgroundContainer {
  readonly name: string;
  readonly argv: readonly string[];
  readonly start: () => Promise<void>;
  readonly remove: () => Promise<void>;
}

/** A container whose script runs until it is removed. */
export function inBackground(
  place: Place,
  driver: Driver,
  extraArgs: readonly string[],
  script: string,
): BackgroundContainer {
  const name = nextName();
  const options = ['--detach', '--rm', `--name=${name}`, ...extraArgs];
  const argv = [...podmanRun(place, driver, options), 'sh', '-c', script];
  return {
    name,
    argv,
    start: async () => {
      await place.run(argv);
    },
    remove: async () => {
      const remove = [...place.podman, 'rm', '--force', '--ignore', '--time=0', name];
      await place.run(remove, { always: true });
    },
  };
}

const NAMES = `sockswitch-bench-${process.pid}-`;

export function nextName(): string {
  serial += 1;
  return `${NAMES}${serial}`;
}

/** Below those that kernels give to clients. */
const FIRST_PORT = 18_000;
const PORTS = 10_000;
let portsGiven = 0;

/** Ports that no trial before had, so that none waits for what that has left in TIME_WAIT. */
export function nextPorts(count: number): number[] {
  return Array.from({ length: count }, () => FIRST_PORT + (portsGiven++ % PORTS));
}

/** Removes every container that is left of this run: after an interrupt, one may still have been on its way. */
export async function removeContainers(place: Place): Promise<void> {
  const list = [...place.podman, 'ps', '--all', '--quiet', `--filter=name=^${NAMES}`];
  const ids = (await place.run(list, { always: true })).split('\n').filter((id) => id !== '');
  if (ids.length === 0) return;
  const remove = [...place.podman, 'rm', '--force', '--ignore', '--time=0', ...ids];
  await place.run(remove, { always: true });
}

/** Runs the container. Throws CommandError with what the script or Podman said. */
export async function runSession(place: Place, argv: readonly string[]): Promise<SessionResult> {
  checkInterrupted();
  const name = argv.find((word) => word.startsWith('--name='))?.slice('--name='.length) ?? '';
  const [file = '', ...args] = place.asUser(argv);
  const child = execa(file, args, {
    ...CHILD,
    stdin: 'pipe',
    buffer: { stdout: false, stderr: true },
  });
  child.stdin.on('error', () => undefined); // it may be gone by then
  try {
    const { output, status } = await inTime(readScript(child.stdout));
    if (status !== 0) {
      // Podman passes stderr on independently of stdout: the message is there once the container has ended.
      child.stdin.end();
      throw new CommandError(reason(await child, output));
    }
    const switched = await switchedIn(place, name);
    child.stdin.end();
    await child;
    return { output, switched };
  } catch (error) {
    child.stdin.end();
    await removeContainer(place, name, child);
    checkInterrupted();
    throw error;
  }
}

/** How many connections of a running container were switched; undefined if sockswitch does not serve it. */
export async function switchedIn(place: Place, name: string): Promise<number | undefined> {
  const id = await place.run([...place.podman, 'inspect', '--format={{.Id}}', name]);
  return place.switched(id.trim());
}

/** Whether the bytes went the way that the driver's name says; throws the reason when they did not. */
export function checkPath(driver: Driver, switched: number | undefined, atLeast: number): void {
  if (!driver.switches) {
    if (switched !== undefined) throw new Error('sockswitch served a container that did not ask');
    return;
  }
  if (switched === undefined) throw new Error('sockswitch did not serve the container');
  if (switched < atLeast) {
    throw new Error(`only ${switched} connections were switched, not ${Math.ceil(atLeast)}`);
  }
}

/** Again until Podman has ended: it may be about to create the container, and then there is nothing to remove yet. */
async function removeContainer(
  place: Place,
  name: string,
  podman: PromiseLike<unknown>,
): Promise<void> {
  let ended = false;
  const end = podman.then(() => {
    ended = true;
  });
  while (!ended) {
    const remove = [...place.podman, 'rm', '--force', '--ignore', '--time=0', name];
    await place.run(remove, { always: true });
    await Promise.race([end, sleep(AGAIN_MS)]);
  }
}

/** Reads to the end mark. Without a status the container ended before it. */
function readScript(stdout: Readable): Promise<{ output: string; status: number | undefined }> {
  return new Promise((resolve) => {
    const lines: string[] = [];
    const reader = createInterface({ input: stdout });
    reader.on('line', (line) => {
      if (!line.startsWith(END_MARK)) lines.push(line);
      else resolve({ output: lines.join('\n'), status: Number(line.slice(END_MARK.length)) });
    });
    reader.on('close', () => resolve({ output: lines.join('\n'), status: undefined }));
  });
}

/** Throws CommandError after a while, and Interrupted. What it waited for goes on: the container has to be removed. */
async function inTime<T>(result: Promise<T>): Promise<T> {
  const waiting = new AbortController();
  const signal = AbortSignal.any([interrupted, waiting.signal]);
  const timeout = sleep(TIMEOUT_MS, undefined, { signal }).then(
    () => new CommandError(`took longer than ${TIMEOUT_MS / 1000} s`),
    () => new Interrupted(),
  );
  try {
    const first = await Promise.race([result, timeout]);
    if (first instanceof Error) throw first;
    return first;
  } finally {
    waiting.abort();
  }
}

function reason(result: { stderr: unknown }, output: string): string {
  return (
    lastLines(String(result.stderr ?? '')) || lastLines(output) || 'ended without saying anything'
  );
}
