/**
 * Bad times: the daemon is away for a while, descriptors or disks run out, the host's network changes. Containers go on; what
 * cannot be done is told once and in plain words.
 */
import { afterAll, afterEach, expect, test } from 'vitest';
import {
  daemonPid,
  keeperPid,
  killDaemon,
  logSince,
  logSize,
  startDaemon,
} from './support/daemon.js';
import { describeOnLab, eventually, FAR, HOST1, host1, REMOTE } from './support/lab.js';
import { ENABLED, eventuallyCounters, podmanRun, ps, startContainer } from './support/podman.js';
import { curl } from './support/programs.js';
import { SAMPLE } from './support/sample.js';

const PAGE = 'hello from remote\n';
const root = (...argv: string[]): Promise<string> => host1.output(argv, { root: true });

async function signalDaemon(signal: string): Promise<void> {
  await host1.output(['kill', `-${signal}`, String(await daemonPid())]);
}

describeOnLab('the daemon is away:', () => {
  let stopped = '';
  const suspend = async () => {
    stopped = String(await daemonPid());
    await signalDaemon('STOP');
  };
  const go = () => host1.output(['kill', '-CONT', stopped]);

  test.each([
    ['suspended', SAMPLE ? 15 : 60, suspend, go],
    ['killed', 10, killDaemon, startDaemon],
  ] as const)('%s for %i seconds', async (_, seconds, leave, comeBack) => {
    const container = await startContainer({ annotations: ENABLED });
    const other = await startContainer({ annotations: ENABLED });
    await leave();
    // Not bash and not ls: both ask for names, and so connect, to nscd's socket.
    const words = [
      'sh',
      '-c',
      'touch /tmp/begun; exec curl -sS "$1"',
      'sh',
      `http://${REMOTE.v4}/`,
    ];
    const begun = container.exec(words);
    await host1.output(['sleep', String(seconds)]);
    // Podman does its work meanwhile; an exec that connects waits.
    await other.output(['test', '-d', '/tmp']);
    await host1.output(['podman', 'restart', '--time', '0', other.id]);
    expect((await other.exec(curl(REMOTE.v4))).stdout, 'on its fallback network').toBe(PAGE);
    await host1.output(['podman', 'stop', '--time', '0', other.id]);
    await host1.output(['podman', 'start', other.id]);
    await host1.output(['podman', 'stop', '--time', '0', other.id]);
    await other.remove();
    await container.output(['test', '-e', '/tmp/begun']);
    await comeBack();
    expect(await begun).toMatchObject({ status: 0, stdout: PAGE, stderr: '' });
    await eventuallyCounters(container, ({ switched }) => switched === 1);
    await eventually('the end of the other one', async () =>
      (await ps()).containers.length === 1 ? true : undefined,
    );
    await container.remove();
  });
});

describeOnLab('file descriptors run out', () => {
  /** The soft one: the hard one could not be raised again. */
  const limit = (pid: number, files: number | 'all') =>
    host1.sh(
      `all=$(prlimit --pid "$1" --nofile --noheadings --output HARD | tr -d ' ')
[ "$2" = all ] || all=$2
prlimit --pid "$1" --nofile="$all:"`,
      [String(pid), String(files)],
    );
  const opened = async (pid: number) =>
    Number(await host1.output(['sh', '-c', 'ls "/proc/$1/fd" | wc -l', 'sh', String(pid)]));
  afterEach(async () => {
    for (const pid of [await daemonPid(), await keeperPid()]) await limit(pid, 'all');
  });

  test('for the daemon: starts go without acceleration, execs wait their turn', async () => {
    const container = await startContainer({ annotations: ENABLED });
    const [pid, size] = [await daemonPid(), await logSize()];
    await limit(pid, (await opened(pid)) + 40);
    const plain = await startContainer({ annotations: ENABLED });
    expect((await plain.exec(curl(REMOTE.v4))).stdout).toBe(PAGE);
    expect(await plain.counters()).toBeUndefined();
    const { incidents } = await ps();
    expect(incidents.at(-1)).toMatchObject({
      ...{ kind: 'unaccelerated', container: plain.id },
      message: expect.stringContaining('RLIMIT_NOFILE'),
    });
    const annotations = { ...ENABLED, 'sockswitch/required': 'true' };
    const refused = await podmanRun({ annotations, command: ['true'] });
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toContain('sockswitch/required');

    expect((await container.exec(curl(REMOTE.v4))).stdout).toBe(PAGE);
    const many = `for n in $(seq 16); do podman exec -d "$1" sleep infinity; done`;
    await host1.sh(many, [container.id]);
    const waiting = container.exec(curl(REMOTE.v4));
    await eventually('the message', async () =>
      (await logSince(size)).includes('no file descriptors are left') ? true : undefined,
    );
    expect(await daemonPid(), 'sockswitch status works').toBe(pid);
    await container.host.output(['pkill', '-x', 'sleep', '--newest']);
    await host1.sh('podman exec "$1" true; pkill -f "^sleep infinity"', [plain.id]);
    await plain.remove();
    expect(await waiting).toMatchObject({ status: 0, stdout: PAGE });
    const told = (await logSince(size)).split('no file descriptors are left').length - 1;
    expect(told).toBeLessThan(5);
    await container.remove();
  });

  test('for the keeper: what starts waits, and goes on', async () => {
    const keeper = await keeperPid();
    const size = await logSize();
    await limit(keeper, 18);
    const container = await startContainer({ annotations: ENABLED });
    const waiting = container.exec(curl(REMOTE.v4));
    await eventually('the message', async () =>
      (await logSince(size)).includes('the keeper can open no more files') ? true : undefined,
    );
    await limit(keeper, 'all');
    // What makes it look again.
    const another = await startContainer({ annotations: ENABLED });
    await killDaemon();
    await startDaemon();
    expect(await waiting).toMatchObject({ status: 0, stdout: PAGE });
    expect((await another.exec(curl(REMOTE.v4))).stdout).toBe(PAGE);
    await another.remove();
    await container.remove();
  });
});

describeOnLab('a full or read-only disk', () => {
  const DISK = '/tmp/outages-disk';
  const RUNTIME = '/tmp/outages-runtime';
  const mount = (options: string) =>
    root(
      'sh',
      '-c',
      `mkdir -p ${DISK} && mount -t tmpfs -o "$0" disk ${DISK}`,
      `uid=1000,mode=700,${options}`,
    );
  const daemon = (directory: string, home: string, seconds: string, log: string) =>
    host1.sh(
      `rm -f "$1"; HOME=${home} XDG_RUNTIME_DIR=${directory} timeout ${seconds} sockswitch daemon >"$1" 2>&1; echo $?
pkill -f -- "--runtime-dir ${directory}/"`,
      [log],
    );
  afterEach(() => root('sh', '-c', `umount ${DISK}; rm -rf ${DISK} ${RUNTIME} /tmp/outages-log`));

  test.each([
    [1, `cannot create "${DISK}/sockswitch" (ENOSPC)`],
    [2, 'keeper.lock: No space left on device'],
    [4, 'keeper.sock: No space left on device'],
    [5, `cannot serve "${DISK}/sockswitch/hook.sock" (ENOSPC): make room`],
    [6, `cannot serve "${DISK}/sockswitch/control.sock" (ENOSPC): make room`],
  ])(
    'a runtime directory with room for %i files: the daemon does not start',
    async (files, text) => {
      await mount(`nr_inodes=${files}`);
      expect((await daemon(DISK, '/tmp', '60', '/tmp/outages-log')).stdout).toBe('1\n');
      const message = await host1.output(['cat', '/tmp/outages-log']);
      expect(message).toContain(text);
      expect(message, 'no stack').not.toMatch(/^\S*\s+at /m);
    },
  );

  test('a log that cannot be written: the daemon goes on', async () => {
    await host1.output(['mkdir', '-m', '700', RUNTIME]);
    const script = `export XDG_RUNTIME_DIR=${RUNTIME}
sockswitch daemon 2>/dev/full & pid=$!
until sockswitch status >/dev/null 2>&1; do kill -0 $pid || exit; sleep 0.1; done
kill -HUP $pid; sleep 1; sockswitch status --json; kill $pid; wait $pid
pkill -f -- "--runtime-dir ${RUNTIME}/"`;
    expect((await host1.sh(script)).stdout).toContain('"pid"');
  });

  test.each([
    ['full', 'ENOSPC', 'make room'],
    ['read-only', 'EROFS', 'writable'],
  ])(
    'a home that is %s: install leaves nothing behind, the daemon starts',
    async (how, code, help) => {
      await mount('size=64k');
      if (how === 'full') await host1.sh(`dd if=/dev/zero of=${DISK}/fill bs=1k count=100`);
      else await root('mount', '-o', 'remount,ro', DISK);
      await host1.output(['mkdir', '-m', '700', RUNTIME]);
      const before = await host1.output(['find', DISK, '-type', 'f']);
      const env = { HOME: DISK, XDG_RUNTIME_DIR: RUNTIME };
      const refused = await host1.run(['sockswitch', 'install'], { env });
      expect(refused.status).toBe(1);
      expect(refused.stderr).toMatch(new RegExp(`cannot change ".*" \\(${code}\\): .*${help}`));
      expect(refused.stderr, 'no stack').not.toMatch(/^\S*\s+at /m);
      expect(await host1.output(['find', DISK, '-type', 'f'])).toBe(before);
      // Ended by timeout(1).
      expect((await daemon(RUNTIME, DISK, '5', '/tmp/outages-log')).stdout).toBe('124\n');
      expect(await host1.output(['cat', '/tmp/outages-log'])).toContain('daemon is ready');
    },
  );
});

describeOnLab('the log', () => {
  const CONFIG = '/tmp/logrotate.conf';
  const LOG = '/home/lab/sockswitch-daemon.log';
  afterAll(() => host1.sh(`rm -f ${CONFIG}* ${LOG}.*`));

  test('is rotated by logrotate, as the documentation says, and goes on in the same file', async () => {
    await host1.output(['tee', CONFIG], { stdin: `${LOG} {\n  rotate 4\n  copytruncate\n}\n` });
    const pid = String(await daemonPid());
    for (let time = 1; time <= 3; time++) {
      const before = await host1.output(['cat', LOG]);
      await host1.output([
        ...'/usr/sbin/logrotate --force --state'.split(' '),
        `${CONFIG}.state`,
        CONFIG,
      ]);
      expect(await host1.output(['cat', `${LOG}.1`])).toBe(before);
      expect(await logSize()).toBe(0);
      await host1.output(['kill', '-HUP', pid]);
      const after = await eventually('the next line', async () => (await logSince(0)) || undefined);
      expect(after).toMatch(/^{.*configuration read again.*}\n$/);
    }
  });
});

describeOnLab("the host's network changes", () => {
  const OTHER = '10.77.0.21';
  const address = curl(FAR.v4, '/ip');
  afterAll(async () => {
    await root('ip', 'address', 'flush', 'dev', 'eth0', 'scope', 'global');
    await root('ip', 'address', 'add', `${HOST1.v4}/24`, 'dev', 'eth0');
    await root('ip', 'route', 'replace', 'default', 'via', '10.77.0.1');
    await root('ip', '-6', 'address', 'replace', `${HOST1.v6}/64`, 'dev', 'eth0', 'nodad');
    await root('ip', '-6', 'route', 'replace', 'default', 'via', 'fd77::1');
  });

  test('the first connection afterwards is switched', async () => {
    // slirp4netns: pasta copies the host's addresses once, so that it would not follow by itself.
    const container = await startContainer({ network: 'slirp4netns', annotations: ENABLED });
    let switched = 0;
    const expectFrom = async (host: string) => {
      expect(await container.exec(address)).toMatchObject({ status: 0, stdout: `${host}\n` });
      await eventuallyCounters(container, (counts) => counts.switched === switched + 1);
      switched++;
    };
    await expectFrom(HOST1.v4);
    // The default route is replaced: through another router, which is the same machine.
    await root('ip', 'route', 'replace', 'default', 'via', REMOTE.v4);
    await expectFrom(HOST1.v4);
    // The address is replaced.
    await root('ip', 'address', 'del', `${HOST1.v4}/24`, 'dev', 'eth0');
    await root('ip', 'address', 'add', `${OTHER}/24`, 'dev', 'eth0');
    await root('ip', 'route', 'replace', 'default', 'via', '10.77.0.1');
    await expectFrom(OTHER);
    // The interface goes down, is without route, and comes up again.
    await root('ip', 'link', 'set', 'eth0', 'down');
    expect((await container.exec(address)).status).not.toBe(0);
    switched = (await container.counters())?.switched ?? 0;
    await root('ip', 'link', 'set', 'eth0', 'up');
    await root('ip', 'route', 'replace', 'default', 'via', '10.77.0.1');
    await expectFrom(OTHER);
    await container.remove();
  });
});
