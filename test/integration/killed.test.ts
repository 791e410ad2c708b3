/** Threads that die in the middle of a connect, by a signal or by an exec: nobody else notices, and nothing is left of them. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { daemonPid, listenerThreads } from './support/daemon.js';
import { describeOnLab, eventually, host1 } from './support/lab.js';
import { countersOf } from './support/matrix.js';
import { type Container, difference, ENABLED, startContainer } from './support/podman.js';

const PROBE = readFileSync(new URL('./probes/killed.py', import.meta.url), 'utf8');
const TIMES = 60;

async function ask(container: Container, count: number): Promise<void> {
  const answer = await container.sh('echo "$1" >/tmp/ask && cat /tmp/told', [String(count)]);
  expect(answer.stdout.trim(), answer.stderr).toBe('done');
}

describeOnLab('threads that die amid a connect', () => {
  test('the process goes on, and the daemon keeps none of their sockets', async () => {
    const before = await listenerThreads();
    const container = await startContainer({
      annotations: ENABLED,
      command: ['python3', '-c', PROBE],
    });
    await eventually('the probe', async () =>
      (await container.sh('test -p /tmp/told')).status === 0 ? true : undefined,
    );
    const pid = String(await daemonPid());
    const tasks = await eventually('a listener thread of its own', async () => {
      const now = [...(await listenerThreads())].filter((tid) => !before.has(tid));
      return now.length === 1 ? now : undefined;
    });
    // A listener's thread has a descriptor table of its own. What it remembers of callers are no sockets.
    const sockets = async () => {
      const list = ['ls', '-l', `/proc/${pid}/task/${tasks[0]}/fd`];
      return (await host1.output(list, { root: true })).split('socket:').length - 1;
    };

    await ask(container, 0);
    const quiet = await sockets();
    const counted = await countersOf(container);
    await ask(container, TIMES);
    const moved = difference(counted, await countersOf(container));
    expect(moved.switched).toBeGreaterThan(TIMES);
    expect(moved).toMatchObject({ fallback: 0 });
    await eventually('the sockets that nobody has asked for again are closed', async () =>
      (await sockets()) <= quiet + 2 ? true : undefined,
    );
    await container.remove();
  });
});
