/**
 * The daemon stops, or dies, while containers run. The keeper holds their listeners: what is trapped meanwhile
 * waits for the next daemon, and nothing fails. `podman exec` brings a listener of its own, which comes to
 * the keeper, too. Connections that were switched before are the kernel's and need nobody.
 */
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import {
  daemonPid,
  daemonStatus,
  grantGuard,
  keeperPid,
  killDaemon,
  killDaemonAt,
  listenerThreads,
  newListenerThread,
  startDaemon,
  stopDaemon,
} from './support/daemon.js';
import { describeOnLab, eventually, host1, REMOTE } from './support/lab.js';
import { countersOf } from './support/matrix.js';
import { RUNTIMES } from './support/places.js';
import { ENABLED, eventuallyCounters, logged, startContainer } from './support/podman.js';
import { curl } from './support/programs.js';

const PAGE = 'hello from remote\n';

/** Holds one connection from the start; on /tmp/echo it uses that, on /tmp/fetch it makes another. */
const WORKER = `
import os, socket, sys, time, urllib.request
def asked(path):
    if not os.path.exists(path): return False
    os.remove(path)
    return True
held = socket.create_connection((sys.argv[1], 7))
print('connected', flush=True)
while True:
    if asked('/tmp/echo'):
        held.sendall(b'marco')
        print('echo', held.recv(5).decode(), flush=True)
    if asked('/tmp/fetch'):
        print('fetching', flush=True)
        page = urllib.request.urlopen(f'http://{sys.argv[1]}/', timeout=None).read()
        print('fetched', page.decode().strip(), flush=True)
    time.sleep(0.05)
`;

/** Connects to the echo server when it is told by a signal. */
const WAITER = `
import errno, select, signal, socket, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print('waiting', flush=True)
signal.sigwait([signal.SIGUSR1])
made = socket.socket()
made.setblocking(sys.argv[2] == 'blocking')
code = made.connect_ex((sys.argv[1], 7))
if sys.argv[2] == 'non-blocking':
    assert code == errno.EINPROGRESS, errno.errorcode[code]
    select.select([], [made], [])
    code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    made.setblocking(True)
assert code == 0, errno.errorcode[code]
made.sendall(b'marco')
print(made.recv(5).decode(), flush=True)
signal.pause()
`;

describeOnLab('while a container runs, the daemon', () => {
  afterEach(() => startDaemon());

  describe.each([
    ['is stopped', stopDaemon],
    ['is killed', killDaemon],
  ] as const)('%s', (_, end) => {
    test.each(RUNTIMES)('and started again, with %s', async (runtime) => {
      const command = ['python3', '-c', WORKER, REMOTE.v4];
      const container = await startContainer({ runtime, annotations: ENABLED, command });
      await logged(container, 'connected');
      await eventuallyCounters(container, ({ switched }) => switched === 1);
      const [keeper, daemon] = [await keeperPid(), await daemonPid()];

      await end();
      // Also: an exec while the daemon is away.
      await container.output(['touch', '/tmp/echo']);
      await logged(container, 'echo marco');
      await container.output(['touch', '/tmp/fetch']);
      await logged(container, 'fetching');
      const waiting = container.exec(curl(REMOTE.v4));
      // Seen from the host: pgrep makes an epoll descriptor, so in the container it would wait as well.
      await eventually('curl in the container', async () =>
        (await container.host.run(['pgrep', '-x', 'curl'])).status === 0 ? true : undefined,
      );
      expect((await container.logs()).stdout).not.toContain('fetched');

      await startDaemon();
      expect(await waiting).toMatchObject({ status: 0, stdout: PAGE, stderr: '' });
      await logged(container, 'fetched hello from remote');
      expect(await keeperPid(), 'the same keeper').toBe(keeper);
      expect(await daemonPid(), 'another daemon').not.toBe(daemon);
      // Counted on: the one from before, the two that waited, and then one more.
      await eventuallyCounters(container, ({ switched }) => switched === 3);
      expect((await container.exec(curl(REMOTE.v4))).stdout).toBe(PAGE);
      expect(await countersOf(container)).toMatchObject({ switched: 4 });
      await container.output(['touch', '/tmp/echo']);
      await container.remove();
      await eventually('the end of all listeners', async () => {
        const { containers, listeners } = await daemonStatus();
        return containers === 0 && listeners === 0 ? true : undefined;
      });
    });
  });

  describe.each([
    ['has given the number away', 'before', 'connect'],
    ['has begun to connect', 'after', 'connect'],
  ] as const)('is killed when it %s', (_, when, call) => {
    test.each(['blocking', 'non-blocking'])('a %s connect goes on', async (kind) => {
      const before = await listenerThreads();
      const command = ['python3', '-c', WAITER, REMOTE.v4, kind];
      const container = await startContainer({ annotations: ENABLED, command });
      await logged(container, 'waiting');
      const thread = await newListenerThread(before);
      const go = () => container.host.run(['podman', 'kill', '--signal=USR1', container.id]);
      await killDaemonAt(thread, when, call, go);
      await logged(container, 'marco');
      await eventuallyCounters(container, ({ switched }) => switched === 1);
      await container.remove();
    });
  });

  test('is restarted ten times in a row, and connects never fail', async () => {
    const container = await startContainer({ annotations: ENABLED });
    const script = `for n in $(seq 400); do ${curl(REMOTE.v4).join(' ')} || exit; done | sort | uniq -c`;
    const loop = container.sh(script, [], { timeout: 170_000 });
    for (let time = 0; time < 10; time++) {
      await (time % 2 === 0 ? stopDaemon() : killDaemon());
      await startDaemon();
    }
    expect(await loop).toMatchObject({ status: 0, stderr: '' });
    expect((await loop).stdout.trim()).toBe('400 hello from remote');
    await container.remove();
  });
});

describeOnLab('an upgrade', () => {
  const NEXT = '/home/lab/next-sockswitch'; // /tmp is mounted nosuid: no program has a capability there
  afterAll(async () => {
    await host1.stopServers();
    await stopDaemon();
    await startDaemon();
    await host1.output(['rm', '-rf', NEXT]);
  });

  test('to a build of another version, which serves what the keeper of the old one holds', async () => {
    const container = await startContainer({
      annotations: ENABLED,
      command: ['python3', '-c', WORKER, REMOTE.v4],
    });
    await logged(container, 'connected');
    const [keeper, old] = [await keeperPid(), await daemonPid()];
    const copy = `mkdir "$1" && cd /opt/sockswitch && cp -r dist package.json "$1" && ln -s /opt/sockswitch/node_modules "$1" &&
mkdir -p "$1/build/Release" && find build/Release -maxdepth 1 -type f -exec cp -t "$1/build/Release" {} + &&
sed -i 's/"version": "[^"]*"/"version": "99.0.0"/' "$1/package.json"`;
    await host1.output(['bash', '-c', copy, 'bash', NEXT]);
    await grantGuard(NEXT);
    await stopDaemon();
    const waiting = container.exec(curl(REMOTE.v4));
    const environment = (process.env['LAB_DAEMON_ENVIRONMENT'] ?? '').split(' ').filter(Boolean);
    const next = await host1.serve(
      ['env', ...environment, 'node', `${NEXT}/dist/cli.js`, 'daemon'],
      'sockswitch status',
    );
    expect(await waiting).toMatchObject({ status: 0, stdout: PAGE });
    expect(await host1.output(['sockswitch', 'status'])).toMatch(/^version +99\.0\.0$/m);
    expect(await daemonPid()).not.toBe(old);
    expect(await keeperPid(), 'the old keeper, as it speaks the same protocol').toBe(keeper);
    await container.output(['touch', '/tmp/echo']);
    await logged(container, 'echo marco');
    await eventuallyCounters(container, ({ switched }) => switched === 2);
    await next.stop();
    await startDaemon();
    expect((await container.exec(curl(REMOTE.v4))).stdout).toBe(PAGE);
    // The count of the first exec has ended with it (docs/operations.md).
    await eventuallyCounters(container, ({ switched }) => switched === 2);
    await container.remove();
  });
});
