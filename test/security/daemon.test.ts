/**
 * The daemon as the target: containers that flood it, die on it and name themselves wickedly, other users who knock at its
 * sockets. It lives, holds no more than before, and others are served. Rubbish from its own user and crafted annotations
 * are test/integration's matter (bad-peers, bad-annotations).
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { daemonPid, logSince, logSize } from '../integration/support/daemon.js';
import { describeOnLab, eventually, host1, REMOTE } from '../integration/support/lab.js';
import {
  type Container,
  ENABLED,
  logged,
  podmanRun,
  startContainer,
} from '../integration/support/podman.js';
import { ATTACKS } from './catalogue.js';
import { parseOutcome } from './support/outcome.js';
import { attackCommand, clearStage, setStage, startTarget, TRIES } from './support/stage.js';

const LONG = { timeout: 400_000 } as const;
const SOCKETS = 100_000;
const DEATHS = 2_000;
/** Beyond what a listener thread remembers of callers (native/notify/caller.cc). */
const SLACK = 200;

function program(name: string, ...words: string[]): string[] {
  const [first] = ATTACKS;
  if (first === undefined) throw new Error('no attacks');
  return [...attackCommand({ ...first, program: name }, TRIES), ...words];
}

/** Descriptors in all tables of the daemon: its listener threads have tables of their own. */
async function descriptors(): Promise<number> {
  const count = 'ls /proc/"$1"/task/*/fd | grep -c "^[0-9]"';
  return Number((await host1.sh(count, [String(await daemonPid())])).stdout);
}

/** What an ordinary program notices: connections one after the other, each with its answer. */
const ORDINARY = [
  'python3',
  '-c',
  `
import socket, sys
failed = 0
for number in range(300):
    try:
        with socket.create_connection(("${REMOTE.v4}", 7), timeout=60) as s:
            s.sendall(b"marco")
            if s.recv(5) != b"marco": failed += 1
    except OSError as error:
        print(error)
        failed += 1
print("failed:", failed)
`,
] as const;

/** Holds a connection that has carried its second argument. */
const CARRY = `
import socket, sys, time
with socket.create_connection((sys.argv[1], 7)) as s:
    s.sendall(sys.argv[2].encode())
    print(s.recv(1000).decode(), flush=True)
    time.sleep(600)
`;

describeOnLab('the daemon', () => {
  let pid: number;
  let target: Container;
  beforeAll(async () => {
    await setStage();
    pid = await daemonPid();
    target = await startTarget({ annotations: ENABLED });
    await target.output(program('spellings_tcp'));
  });
  afterAll(async () => {
    await clearStage();
    expect(await daemonPid()).toBe(pid);
  });

  test('serves others while one container floods it', LONG, async () => {
    const ordinary = await startTarget({ annotations: ENABLED });
    const before = await ordinary.counters();
    const flood = target.exec(program('flood', '10'), { timeout: 120_000 });
    const result = await ordinary.exec(ORDINARY, { timeout: 300_000 });
    const flooded = parseOutcome((await flood).stdout);
    expect(result.stdout, result.stderr).toBe('failed: 0\n');
    const after = await ordinary.counters();
    expect((after?.switched ?? 0) - (before?.switched ?? 0)).toBe(300);
    expect(flooded.note).toMatch(/^\d+ rounds$/);
    expect(await daemonPid()).toBe(pid);
    await ordinary.remove();
  });

  test('holds nothing for a container that keeps 100,000 sockets', LONG, async () => {
    const before = await descriptors();
    const result = await target.exec(program('many_sockets', String(SOCKETS)), {
      timeout: 300_000,
    });
    const { detail, note } = parseOutcome(result.stdout);
    expect(detail, note).toBe('one-more=ok');
    expect(await descriptors()).toBeLessThan(before + SLACK);
    expect(await daemonPid()).toBe(pid);
  });

  test('holds nothing for processes that died at any moment', LONG, async () => {
    const before = await descriptors();
    const result = await target.exec(program('dying', String(DEATHS)), { timeout: 300_000 });
    const { detail, note } = parseOutcome(result.stdout);
    expect(detail, note).toBe('afterwards=ok');
    await eventually('the descriptors of the dead', async () =>
      (await descriptors()) < before + SLACK ? true : undefined,
    );
    expect(await daemonPid()).toBe(pid);
  });

  test('outlives containers that are killed while they call', LONG, async () => {
    const before = await descriptors();
    for (let round = 0; round < 10; round++) {
      const victim = await startTarget({
        annotations: ENABLED,
        runtime: round % 2 === 0 ? 'crun' : 'runc',
      });
      const flood = victim.exec(program('flood', '60'), { timeout: 60_000 });
      await eventually('the flood', async () =>
        ((await victim.counters())?.switched ?? 0) > 50 ? true : undefined,
      );
      await host1.output(['podman', 'kill', '--signal', 'KILL', victim.id]);
      await flood;
      await victim.remove();
    }
    await eventually('the descriptors of the killed', async () =>
      (await descriptors()) <= before + 8 ? true : undefined,
    );
    expect(await daemonPid()).toBe(pid);
  });

  test('serves others while processes multiply', LONG, async () => {
    const bomb = await startTarget({ annotations: ENABLED });
    const script = `for i in $(seq 300); do (while :; do timeout 1 bash -c "exec 3<>/dev/tcp/${REMOTE.v4}/7"; done) & done; sleep 8; kill $(jobs -p)`;
    const exploding = bomb.sh(script, [], { timeout: 60_000 });
    const result = await target.exec(ORDINARY, { timeout: 300_000 });
    expect(result.stdout, result.stderr).toBe('failed: 0\n');
    await bomb.remove();
    await exploding;
    expect(await daemonPid()).toBe(pid);
  });

  describe('of a user', () => {
    const SOCKET_NAMES = ['control', 'hook', 'keeper', 'listener'] as const;
    const knock = (name: string) => `
import os, socket, sys
kind = socket.SOCK_SEQPACKET if "${name}" == "keeper" else socket.SOCK_STREAM
s = socket.socket(socket.AF_UNIX, kind)
s.settimeout(30)
try:
    s.connect("/run/user/1000/sockswitch/${name}.sock")
    s.send(b"GET /v1/status HTTP/1.1\\r\\nHost: daemon\\r\\n\\r\\n")
    print("answer:", s.recv(1000)[:20])
except OSError as error:
    print("refused:", error.errno)
`;

    test.each(SOCKET_NAMES)('is not reached by another one at %s.sock', async (name) => {
      const words = ['setpriv', '--reuid', '1234', '--regid', '1234', '--clear-groups'];
      const result = await host1.run([...words, 'python3', '-c', knock(name)], { root: true });
      expect(result.stdout, result.stderr).toBe('refused: 13\n'); // EACCES
    });

    test.each(SOCKET_NAMES)(
      'does not serve the one who gets in nevertheless at %s.sock',
      async (name) => {
        // Root passes the directory; only SO_PEERCRED tells.
        const result = await host1.run(['python3', '-c', knock(name)], { root: true });
        expect(result.stdout, result.stderr).toMatch(/^(refused: (32|104)|answer: b'')\n$/); // EPIPE, ECONNRESET
        expect(await daemonPid()).toBe(pid);
      },
    );

    test('keeps its files from others', async () => {
      const list = 'cd "$XDG_RUNTIME_DIR/sockswitch" && stat --format="%a %n" . *';
      const modes = (await host1.sh(list)).stdout.trim().split('\n');
      expect(modes).toContain('700 .');
      for (const mode of modes.filter((line) => line !== '700 .')) {
        expect(mode).toMatch(/^[0-7]00 /);
      }
    });
  });

  describe('shows no control characters of', () => {
    const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/;
    const ESCAPES = '\u001b]0;owned\u0007\u001b[2J\u001b[31mred\u202e';

    async function expectClean(logStart: number): Promise<void> {
      const ps = await host1.run(['sockswitch', 'ps']);
      const json = await host1.run(['sockswitch', 'ps', '--json']);
      const texts = [ps.stdout, ps.stderr, json.stdout, await logSince(logStart)];
      for (const text of texts) expect(text).not.toMatch(CONTROL);
    }

    test('annotations', async () => {
      const start = await logSize();
      for (const name of ['sockswitch/ignore', `sockswitch/${ESCAPES}`, `other/${ESCAPES}`]) {
        const annotations = { ...ENABLED, [name]: ESCAPES };
        await podmanRun({ annotations, command: ['true'] });
        await expectClean(start);
      }
    });

    test('host names, programs and labels', async () => {
      const start = await logSize();
      const name = (await host1.output(['mktemp', '-u', 'wicked-XXXXXX'])).trim();
      const args = [
        '--hostname',
        'h\u001b[31m',
        '--label',
        `l=${ESCAPES}`,
        '--env',
        `E=${ESCAPES}`,
        '--name',
        name,
      ];
      await podmanRun({
        annotations: ENABLED,
        args,
        command: ['bash', '-c', `exec -a "$E" bash -c 'exec 3<>/dev/tcp/${REMOTE.v4}/7'`],
      });
      await host1.run(['podman', 'rm', '--force', '--ignore', name]);
      await expectClean(start);
    });

    test('a seccomp profile', async () => {
      const start = await logSize();
      const profile = JSON.stringify({
        defaultAction: 'SCMP_ACT_ALLOW',
        listenerPath: `/${ESCAPES}`,
        syscalls: [{ names: [ESCAPES], action: ESCAPES }],
      });
      await host1.sh('printf %s "$1" > wicked.json', [profile]);
      const args = ['--security-opt', 'seccomp=wicked.json'];
      await podmanRun({ annotations: ENABLED, args, command: ['true'] });
      await expectClean(start);
    });
  });

  test('tells nobody what containers hold and carry', async () => {
    const secret = `secret-of-${process.pid}`;
    const start = await logSize();
    await host1.sh(
      'mkdir -p .config/sockswitch && echo \'log_level = "trace"\' >.config/sockswitch/config.toml && kill -HUP "$1"',
      [String(pid)],
    );
    await host1.sh('printf %s "$1" | podman secret create of-the-test -', [secret]);
    try {
      const container = await startContainer({
        annotations: { ...ENABLED, 'example.org/token': secret },
        args: ['--env', `TOKEN=${secret}`, '--secret', 'of-the-test,type=env'],
        command: ['python3', '-c', CARRY, REMOTE.v4, secret],
      });
      await logged(container, secret);
      const told = await host1.sh(`
set -e
tail -c +${start + 1} sockswitch-daemon.log
for format in '' --json; do
    sockswitch status $format
    sockswitch sockets $format
    sockswitch events $format
done
sockswitch ps --no-trunc # with --json it lists annotations, as podman inspect does
curl -sS --unix-socket "$XDG_RUNTIME_DIR/sockswitch/metrics.sock" http://daemon/metrics`);
      expect(told.status, told.stderr).toBe(0);
      expect(told.stdout, 'the log').toContain('configuration read again');
      expect(told.stdout, 'the connection').toContain(`${REMOTE.v4}:7`);
      expect(told.stdout).not.toContain(secret);
      await container.remove();
    } finally {
      await host1.sh(
        'podman secret rm of-the-test; rm .config/sockswitch/config.toml; kill -HUP "$1"',
        [String(pid)],
      );
    }
  });

  test('does not take orders from an image', async () => {
    const script = `
set -e
layer=$(mktemp -d); touch "$layer/file"; tar -C "$layer" -c . |
  podman import --quiet -c 'LABEL sockswitch/enable=true' -c 'LABEL sockswitch/required=true' - hostile >/dev/null
rm -rf "$layer"`;
    const made = await host1.sh(script);
    expect(made.status, made.stderr).toBe(0);
    // Labels travel with an image; only annotations count, and those of images Podman does not pass on.
    const container = await startContainer({ args: ['--label', 'sockswitch/enable=true'] });
    expect(await container.counters()).toBeUndefined();
    await container.remove();
    const labels = await host1.output(['podman', 'inspect', '--format', '{{.Labels}}', 'hostile']);
    expect(labels).toContain('sockswitch/enable');
    const id = (await host1.output(['podman', 'create', 'localhost/hostile', '/file'])).trim();
    await host1.run(['podman', 'start', id]);
    const spec = await host1.sh('cat "$(podman inspect --format "{{.OCIConfigPath}}" "$1")"', [id]);
    expect(spec.stdout).not.toContain('listener.sock');
    await host1.run(['podman', 'rm', '--force', id]);
  });
});
