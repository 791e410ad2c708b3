/**
 * What a connect costs, counted: the system calls that the listener's thread makes for it, as strace(1) sees them.
 *
 * Of a row of equal connects the median counts, so that what is done once (a cache that is filled) does not. "Until answered" is
 * what the caller waits for. Host sockets are made ahead after that, some at a time, while nobody waits.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  daemonPid,
  killDaemon,
  listenerThreads,
  newListenerThread,
  startDaemon,
} from './support/daemon.js';
import { describeOnLab, eventually, host1 } from './support/lab.js';
import { countersOf } from './support/matrix.js';
import { type Container, difference, ENABLED, startContainer } from './support/podman.js';

const PROBE = readFileSync(new URL('./probes/connects.py', import.meta.url), 'utf8');
const TRACE = '/tmp/sockswitch-connect-cost.trace';
const COUNT = 20;
/** What follows the answer: closing, and whether there is time to make sockets ahead. */
const AFTER = 2;

/** Highest allowed numbers, by case of probes/connects.py. */
const LIMITS: readonly (readonly [string, string, number])[] = [
  ['blocking, IPv4', 'ipv4', 28],
  ['blocking, IPv6', 'ipv6', 32],
  ['non-blocking, registered with one epoll set before', 'before', 40],
  ['non-blocking, registered after', 'after', 30],
  ['to the container’s own loopback', 'loopback', 6],
];

interface Notification {
  readonly untilAnswered: readonly string[];
  readonly after: readonly string[];
}

/** One for each call that was received and answered. */
function notifications(trace: string): Notification[] {
  const found: { untilAnswered: string[]; after: string[] }[] = [];
  let answered = true;
  for (const line of trace.split('\n')) {
    // The RECV that was waiting when strace came, and an interrupted call's second line.
    if (!/^\w+\(.* = /.test(line) && !line.includes('resumed')) continue;
    if (line.includes('NOTIF_RECV')) {
      found.push({ untilAnswered: [line], after: [] });
      answered = false;
      continue;
    }
    const last = found.at(-1);
    if (last === undefined) continue;
    (answered ? last.after : last.untilAnswered).push(line);
    if (line.includes('NOTIF_SEND')) answered = true;
  }
  return found.filter(({ untilAnswered }) => untilAnswered.at(-1)?.includes('NOTIF_SEND') === true);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

async function startProbe(): Promise<Container> {
  const container = await startContainer({
    annotations: ENABLED,
    args: ['--cap-add=SYS_ADMIN'],
    command: ['python3', '-c', PROBE],
  });
  await eventually('the probe', async () =>
    (await container.sh('test -p /tmp/told')).status === 0 ? true : undefined,
  );
  return container;
}

async function ask(container: Container, what: string, count = COUNT): Promise<void> {
  const script = 'echo "$1 $2" >/tmp/ask && cat /tmp/told';
  const answer = await container.sh(script, [what, String(count)]);
  expect(answer.stdout.trim(), answer.stderr).toBe('done');
}

describeOnLab('the cost of a connect, in system calls', () => {
  let container: Container;
  let thread: string;

  beforeAll(async () => {
    const before = await listenerThreads();
    container = await startProbe();
    thread = await newListenerThread(before);
  });
  afterAll(async () => {
    await container.remove();
    await host1.run(['rm', '-f', TRACE], { root: true });
  });

  /** Of the calls that the container makes, those that are reported. */
  async function traced(what: string): Promise<Notification[]> {
    await ask(container, what);
    const strace = await host1.serve(
      ['strace', '-qq', '-s', '0', '-o', TRACE, '-p', thread],
      `test "$(awk '/TracerPid/ {print $2}' /proc/${await daemonPid()}/task/${thread}/status)" -ne 0`,
      { root: true },
    );
    await ask(container, what);
    await strace.stop();
    return notifications(await host1.output(['cat', TRACE], { root: true }));
  }

  async function costOf(what: string) {
    const found = await traced(what);
    const typical = found.slice(-COUNT / 2);
    const sorted = typical.toSorted((a, b) => a.untilAnswered.length - b.untilAnswered.length);
    const calls = sorted[Math.floor(sorted.length / 2)]?.untilAnswered.join('\n');
    return {
      reported: found.length,
      untilAnswered: median(typical.map(({ untilAnswered }) => untilAnswered.length)),
      after: median(typical.map((one) => one.after.length)),
      calls,
    };
  }

  test.each(LIMITS)('%s', async (_title, what, limit) => {
    const cost = await costOf(what);
    console.info(`${what}: ${cost.untilAnswered} until answered, then ${cost.after}`);
    expect(cost.reported).toBe(COUNT);
    expect(cost.untilAnswered, cost.calls).toBeLessThanOrEqual(limit);
    expect(cost.after).toBeLessThanOrEqual(AFTER);
  });

  test('AF_UNIX is not reported', async () => {
    expect(await traced('unix')).toEqual([]);
  });

  test('a large epoll set is not read for each connect', async () => {
    const before = await countersOf(container);
    await ask(container, 'large-set', 1);
    const counts = difference(before, await countersOf(container));
    expect(counts.switched).toBeGreaterThan(10);
    expect(counts.reasons['large-epoll']).toBeGreaterThan(10);
    expect(counts.switched + counts.fallback).toBe(200);
    // Small ones are read as ever.
    const then = await countersOf(container);
    await ask(container, 'before', 1);
    expect(difference(then, await countersOf(container))).toMatchObject({ switched: 1 });
  });

  // Last: the probe stays there.
  test('a socket of a nested network namespace', async () => {
    await ask(container, 'enter-nested');
    const cost = await costOf('nested');
    console.info(`nested: ${cost.untilAnswered} until answered, then ${cost.after}`);
    expect(cost.untilAnswered + cost.after, cost.calls).toBeLessThanOrEqual(6);
  });
});

describeOnLab('rarely set options', () => {
  test('count after the daemon has been killed, too', async () => {
    const container = await startProbe();
    await ask(container, 'set-rare', 1);
    await killDaemon();
    await startDaemon();
    const before = await countersOf(container);
    await ask(container, 'connect-rare', 1);
    expect(difference(before, await countersOf(container))).toMatchObject({ switched: 1 });
    await container.remove();
  });
});
