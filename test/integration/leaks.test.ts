/**
 * Containers come and go; what the daemon and the keeper hold does not grow.
 *
 * Compared are the states after 20 and after 200 starts and stops: descriptors and threads exactly, resident
 * memory within 5 %. Memory breathes with the garbage collector, so it is the smallest of several readings,
 * and each reading is taken when no container is left.
 *
 * LEAK_STARTS makes it more starts, LEAK_CONNECTIONS adds a container that makes that many connections, and both
 * allow 10 %: as many as a long life has are nothing for every run (docs/operations.md has the figures of one).
 */
import { describe, expect, test } from 'vitest';
import { daemonPid, daemonStatus, keeperPid } from './support/daemon.js';
import { describeOnLab, eventually, host1, REMOTE } from './support/lab.js';
import { ENABLED, startContainer } from './support/podman.js';
import { SAMPLE } from './support/sample.js';

const FIRST = 20;
const ALL = Number(process.env['LEAK_STARTS'] ?? (SAMPLE ? 100 : 200));
const CONNECTIONS = Number(process.env['LEAK_CONNECTIONS'] ?? 0);
const GROWTH = ALL > 200 || CONNECTIONS > 0 ? 1.1 : 1.05;
const READINGS = 10;

interface Holdings {
  readonly descriptors: number;
  readonly threads: number;
  readonly kilobytes: number;
}

/** Starts and stops containers, two at a time; each makes connections of its own and by exec. */
async function churn(count: number): Promise<void> {
  const script = `
export URL="$1"
one() {
  name=leak-$1
  podman run -d --rm --name $name --network pasta --annotation sockswitch/enable=true localhost/lab \\
    sh -c "curl -s $URL; exec sleep infinity" >/dev/null &&
  { [ $(($1 % 4)) -ne 0 ] || podman exec $name curl -s -o /dev/null "$URL"; } &&
  podman rm -f -t 0 $name >/dev/null
}
export -f one
seq "$2" | xargs -P 2 -I {} bash -c 'one {}'`;
  for (let done = 0; done < count; done += 20) {
    const argv = [`http://${REMOTE.v4}/`, String(Math.min(20, count - done))];
    const result = await host1.sh(script, argv, { timeout: 600_000 });
    expect(result.status, result.stderr).toBe(0);
  }
}

/** In one container, a connection a request. */
async function connect(count: number): Promise<void> {
  if (count === 0) return;
  const container = await startContainer({ annotations: ENABLED });
  const load = ['wrk', '-t1', '-c8', '-d20', '-H', 'Connection: close', `http://${REMOTE.v4}/`];
  let switched = 0;
  while (switched < count) {
    expect(await container.output(load), 'wrk names errors only where there are any').not.toMatch(
      /errors|Non-2xx/,
    );
    switched = (await container.counters())?.switched ?? 0;
  }
  const { fallback } = (await container.counters()) ?? {};
  console.log({ switched, fallback });
  expect(fallback).toBe(0);
  await container.remove();
}

async function holdings(pid: number): Promise<Holdings> {
  const script = `
ls /proc/$1/fd | wc -l
ls /proc/$1/task | wc -l
awk '/^VmRSS/ { print $2 }' /proc/$1/status`;
  const numbers = (await host1.output(['sh', '-c', script, 'sh', String(pid)])).trim().split('\n');
  const [descriptors = 0, threads = 0, kilobytes = 0] = numbers.map(Number);
  return { descriptors, threads, kilobytes };
}

/** With nothing left to do: the smallest of what several readings show. */
async function quietHoldings(pid: number): Promise<Holdings> {
  await eventually('the end of all listeners', async () =>
    (await daemonStatus()).listeners === 0 ? true : undefined,
  );
  const readings: Holdings[] = [];
  for (let reading = 0; reading < READINGS; reading++) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    readings.push(await holdings(pid));
  }
  const least = (of: (one: Holdings) => number) => Math.min(...readings.map(of));
  return {
    descriptors: least((one) => one.descriptors),
    threads: least((one) => one.threads),
    kilobytes: least((one) => one.kilobytes),
  };
}

describeOnLab('leaks', () => {
  describe(`after ${ALL} containers as after ${FIRST}`, () => {
    test('daemon and keeper hold the same', { timeout: 7_200_000 }, async () => {
      const programs = { daemon: await daemonPid(), keeper: await keeperPid() };
      await churn(FIRST);
      const before = {
        daemon: await quietHoldings(programs.daemon),
        keeper: await quietHoldings(programs.keeper),
      };
      await churn(ALL - FIRST);
      await connect(CONNECTIONS);
      const after = {
        daemon: await quietHoldings(programs.daemon),
        keeper: await quietHoldings(programs.keeper),
      };
      console.log(`after ${FIRST}:`, before, `after ${ALL}:`, after);
      expect(await daemonPid()).toBe(programs.daemon);
      for (const program of ['daemon', 'keeper'] as const) {
        expect(after[program].descriptors, `${program}: descriptors`).toBe(
          before[program].descriptors,
        );
        expect(after[program].threads, `${program}: threads`).toBe(before[program].threads);
        expect(after[program].kilobytes, `${program}: memory`).toBeLessThanOrEqual(
          before[program].kilobytes * GROWTH,
        );
      }
    });
  });
});
