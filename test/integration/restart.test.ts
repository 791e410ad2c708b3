/**
 * Daemon and keeper are killed again and again while containers are busy: no connect fails, no connection
 * breaks, and what is counted stays counted.
 *
 * One container makes new connections all the time (wrk, a connection a request, so that kills fall into the
 * middle of calls), has a long download open, and connects by hand to find the longest wait. Another one
 * serves a published port, and is asked all the time, too.
 */
import { expect, test } from 'vitest';
import { z } from 'zod';
import {
  daemonStatus,
  keeperPid,
  killDaemon,
  logSince,
  logSize,
  startDaemon,
} from './support/daemon.js';
import { describeOnLab, eventually, host1, listens, REMOTE, remote } from './support/lab.js';
import { type Container, ENABLED, startContainer } from './support/podman.js';
import { BIG_SHA256, curl } from './support/programs.js';
import { SAMPLE } from './support/sample.js';

const DAEMON_KILLS = SAMPLE ? 6 : 20;
const KEEPER_KILLS = SAMPLE ? 2 : 5;

/** Connects every 20 ms until it is told to stop; prints how often, failures, and the longest wait. */
const PROBE = `
import json, os, socket, sys, time
count, failures, longest = 0, [], 0.0
while not os.path.exists('/tmp/stop'):
    begin = time.monotonic()
    try:
        with socket.create_connection((sys.argv[1], 80), timeout=60) as s:
            s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
            while s.recv(1000): pass
    except OSError as error:
        failures.append(str(error))
    count += 1
    longest = max(longest, time.monotonic() - begin)
    time.sleep(0.02)
print(json.dumps({'count': count, 'failures': failures, 'longest': longest}))
`;
const probeResult = z.object({
  count: z.int(),
  failures: z.array(z.string()),
  longest: z.number(),
});

/** Asks for a page again and again until told to stop; prints a line for each answer that is not it. */
const ASK = `until [ -e "$2" ]; do
  page=$(curl -sS --max-time 60 "$1") && [ "$page" = served ] || echo "failed: $page"
done`;

async function killKeeper(): Promise<void> {
  const [old, size] = [await keeperPid(), await logSize()];
  await host1.output(['kill', '-KILL', String(old)]);
  await eventually('a keeper that holds everything', async () =>
    /holds all listeners again/.test(await logSince(size)) ? true : undefined,
  );
  expect(await keeperPid()).not.toBe(old);
}

async function connections(container: Container): Promise<number> {
  return (await container.counters())?.switched ?? 0;
}

describeOnLab('under load', () => {
  test(`the daemon is killed ${DAEMON_KILLS} times and the keeper ${KEEPER_KILLS} times`, {
    timeout: 600_000,
  }, async () => {
    const client = await startContainer({ annotations: ENABLED });
    const published = { ...ENABLED, 'sockswitch/publish': '8090:8080' };
    const server = await startContainer({ annotations: published });
    const serve = `mkdir /tmp/www && printf served >/tmp/www/index.html && cd /tmp/www && exec python3 -m http.server 8080`;
    await server.serve(serve, listens(8080));

    const timeout = 500_000;
    const url = `http://${REMOTE.v4}/`;
    const load = client.exec(
      ['wrk', '-t1', '-c8', '-d600', '--timeout', '60s', '-H', 'Connection: close', url],
      { timeout },
    );
    const download = client.sh(`curl -sS --limit-rate 1M "$1" | sha256sum`, [`${url}big`], {
      timeout,
    });
    const probe = client.exec(['python3', '-c', PROBE, REMOTE.v4], { timeout });
    const stop = '/tmp/restart-stop';
    await remote.output(['rm', '-f', stop]);
    const asked = remote.sh(ASK, ['http://10.77.0.11:8090/', stop], { timeout });

    let before = 0;
    for (let time = 1; time <= DAEMON_KILLS; time++) {
      await killDaemon();
      await startDaemon();
      const now = await connections(client);
      expect(now, 'connections are made, and stay counted').toBeGreaterThan(before);
      before = now;
      if (time % (DAEMON_KILLS / KEEPER_KILLS) === 0) await killKeeper();
    }
    // Once more: what the last keeper holds is what it was given.
    await killDaemon();
    await startDaemon();
    expect(await daemonStatus()).toMatchObject({ containers: 2, keeper: { connected: true } });
    expect((await client.exec(curl(REMOTE.v4))).stdout).toBe('hello from remote\n');

    await client.output(['touch', '/tmp/stop']);
    await remote.output(['touch', stop]);
    await client.output(['pkill', '-INT', 'wrk']);
    const report = (await load).stdout;
    expect(report).toContain('requests in');
    expect(report, 'wrk names errors only where there are any').not.toMatch(/errors|Non-2xx/);
    const probed = probeResult.parse(JSON.parse((await probe).stdout));
    expect(probed.failures).toEqual([]);
    expect((await asked).stdout).toBe('');
    expect((await download).stdout).toBe(`${BIG_SHA256}  -\n`);
    console.log(
      `${report.match(/\d+ requests in/)?.[0]} wrk; ${probed.count} probes, the longest ${probed.longest.toFixed(2)} s`,
    );
  });
});
