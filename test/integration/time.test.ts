/**
 * The clock is set, and the machine sleeps: containers, daemon and keeper go on as if nothing had been.
 *
 * The lab shares its clock with the machine, which nobody may set. So it is daemon and keeper to whom it jumps, by
 * libfaketime, which leaves CLOCK_MONOTONIC and CLOCK_BOOTTIME as they are, as the kernel does. A host of the lab sleeps when
 * all its processes are frozen and its cable is dead.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { daemonStatus, keeperPid, logSince, logSize } from './support/daemon.js';
import {
  describeOnLab,
  eventually,
  HOST1,
  HOST2,
  host1,
  host2,
  lab,
  REMOTE,
} from './support/lab.js';
import {
  type Container,
  ENABLED,
  eventuallyCounters,
  logged,
  startContainer,
} from './support/podman.js';
import { BIG_SHA256, curl } from './support/programs.js';
import { ask, listening, publish, service } from './support/published.js';

const PAGE = 'hello from remote\n';
/** Of the daemon's log. */
const stopRecord = z.object({ time: z.string(), seconds: z.number() });

/** Fetches the page so many times, a new connection each; prints how often it came. */
const fetchAgainAndAgain = (container: Container, times: number) =>
  container.sh(
    `for n in $(seq "$1"); do ${curl(REMOTE.v4).join(' ')} || exit; sleep 0.05; done | sort | uniq -c`,
    [String(times)],
  );

describeOnLab('the clock is set', () => {
  const CLOCK = '/tmp/faked-clock';
  const FAKED = [
    'LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1',
    `FAKETIME_TIMESTAMP_FILE=${CLOCK}`,
    ...['FAKETIME_NO_CACHE=1', 'DONT_FAKE_MONOTONIC=1', 'NO_FAKE_STAT=1'],
  ];
  const setClock = (years: number) =>
    host1.output(['tee', CLOCK], { stdin: `${years < 0 ? '' : '+'}${years}y\n` });
  const restartAll = async (environment: readonly string[]) => {
    await host1.output(['sockswitch', 'stop']);
    const labEnv = { LAB_DAEMON_ENVIRONMENT: environment.join(' ') };
    expect(await lab(['daemon', 'start', 'host1'], { labEnv })).toMatchObject({ status: 0 });
  };
  beforeAll(async () => {
    await setClock(0);
    await restartAll(FAKED);
  });
  afterAll(() => restartAll([]));

  test('again and again, while containers connect, start and stop', async () => {
    const pages = 200;
    const busy = await startContainer({ annotations: ENABLED });
    const { pid } = await daemonStatus();
    const fetching = fetchAgainAndAgain(busy, pages);
    const thisYear = new Date().getUTCFullYear();
    for (const years of [-20, 10, -1, 0]) {
      const size = await logSize();
      await setClock(years);
      const container = await startContainer({ annotations: ENABLED });
      expect((await container.exec(curl(REMOTE.v4))).stdout).toBe(PAGE);
      await eventuallyCounters(container, ({ switched }) => switched === 1);
      await container.remove();
      const line = await eventually('the end in the log', async () =>
        (await logSince(size)).split('\n').find((text) => text.includes('container stopped')),
      );
      const { time, seconds } = stopRecord.parse(JSON.parse(line));
      expect(Math.abs(Number(time.slice(0, 4)) - thisYear - years)).toBeLessThanOrEqual(1);
      expect(seconds).toBeGreaterThanOrEqual(0);
      expect(seconds).toBeLessThan(300);
    }
    expect((await fetching).stdout.trim()).toBe(`${pages} hello from remote`);
    await eventuallyCounters(busy, ({ switched }) => switched === pages);
    const status = await daemonStatus();
    expect(status).toMatchObject({ pid, keeper: { connected: true } });
    expect(status.uptimeSeconds).toBeGreaterThan(0);
    expect(status.uptimeSeconds).toBeLessThan(1_000);
    await busy.remove();
  });
});

describeOnLab('the machine sleeps', () => {
  /** Holds a connection, and uses it once there is /tmp/awake. */
  const HOLD = `
import os, socket, sys, time
held = socket.create_connection((sys.argv[1], 7))
print('connected', flush=True)
while not os.path.exists('/tmp/awake'): time.sleep(0.1)
held.sendall(b'marco')
print('echo', held.recv(5).decode(), flush=True)
time.sleep(1000)
`;
  const seconds = (count: number) => new Promise((resolve) => setTimeout(resolve, count * 1000));
  afterAll(() => lab(['resume', 'host1']));

  test('and all goes on afterwards', async () => {
    const holder = await startContainer({
      annotations: ENABLED,
      command: ['python3', '-c', HOLD, REMOTE.v4],
    });
    await logged(holder, 'connected');
    const server = await startContainer({
      annotations: publish('8091:8080'),
      command: service('tcp', '0.0.0.0', '8080'),
    });
    await listening(server);
    const client = await startContainer({ annotations: ENABLED });
    const fetching = fetchAgainAndAgain(client, 100);
    const url = `http://${REMOTE.v4}/big`;
    const download = client.sh('curl -sS --limit-rate 8M "$1" | sha256sum', [url]);
    await eventuallyCounters(client, ({ switched }) => switched >= 10);
    const [{ pid }, keeper, size] = [await daemonStatus(), await keeperPid(), await logSize()];

    expect(await lab(['suspend', 'host1'])).toMatchObject({ status: 0 });
    const during = host1.output(['true']).then(() => 'done');
    expect(await Promise.race([during, seconds(15)]), 'nothing runs on it').toBeUndefined();
    expect(await lab(['resume', 'host1'])).toMatchObject({ status: 0 });
    await during;

    expect((await fetching).stdout.trim()).toBe('100 hello from remote');
    expect((await download).stdout).toBe(`${BIG_SHA256}  -\n`);
    await holder.output(['touch', '/tmp/awake']);
    await logged(holder, 'echo marco');
    expect(await ask(host2, 'tcp', HOST1.v4, 8091)).toBe(HOST2.v4);
    const another = await startContainer({ annotations: ENABLED });
    expect((await another.exec(curl(REMOTE.v4))).stdout).toBe(PAGE);
    await eventuallyCounters(another, ({ switched }) => switched === 1);
    await eventuallyCounters(client, (counts) => counts.switched === 101);
    expect(await daemonStatus()).toMatchObject({ pid, keeper: { connected: true } });
    expect(await keeperPid()).toBe(keeper);
    expect(await logSince(size), 'nothing to complain about').not.toMatch(/"level":[45]0/);
    for (const container of [holder, server, client, another]) await container.remove();
  });
});
