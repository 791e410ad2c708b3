/**
 * sockswitch in a container (docs/nesting.md): a container of root's Podman stands for a pod of Kubernetes, and in it
 * a user with a Podman and a sockswitch of its own.
 */
import { afterAll, afterEach, expect, test } from 'vitest';
import { describeOnLab, host1, REMOTE } from './support/lab.js';
import { Nest, type Nesting, removeNests } from './support/nest.js';

const PAGE = 'hello from remote';
const DEVICES = ['--device=/dev/fuse', '--device=/dev/net/tun'];
const UNPRIVILEGED = [...DEVICES, '--security-opt=unmask=ALL'];
const WAIVED = 'require_guard = false\n';

// Adds its socket to an epoll set before it connects, which is what kcmp is asked about.
const PYTHON = `
import select, socket
s = socket.socket(); s.setblocking(False)
e = select.epoll(); e.register(s, select.EPOLLOUT)
s.connect_ex(("${REMOTE.v4}", 80))
assert e.poll(10)
s.setblocking(True); s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
print(s.makefile().read().splitlines()[-1])`;

const CURL = ['curl', '-sS', '--max-time', '10', `http://${REMOTE.v4}/`];

let nest: Nest | undefined;
afterEach(async () => {
  await nest?.remove();
  nest = undefined;
});

async function start(nesting: Nesting): Promise<Nest> {
  nest = await Nest.start(nesting);
  return nest;
}

/** What an inner accelerated container prints, and the daemon's count of it. */
async function accelerated(
  inner: Nest,
  command: readonly string[],
  network = 'pasta',
): Promise<string> {
  const script = `
podman run --rm --network "$1" --annotation sockswitch/enable=true localhost/lab "\${@:2}"
sleep 0.5
sed -n 's/.*"switched":\\([0-9]*\\),"fallback":\\([0-9]*\\).*/switched \\1 fallback \\2/p' daemon.log | tail -n 1`;
  const result = await inner.sh(script, [network, ...command]);
  return result.stdout + (result.status === 0 ? '' : result.stderr);
}

describeOnLab('sockswitch in a container', () => {
  afterAll(removeNests);

  test('privileged, as an ordinary user: with the guard', async () => {
    const inner = await start({ name: 'privileged', outer: ['--privileged'] });
    const daemon = await inner.startDaemon();
    expect(daemon.stdout).toMatch(/socket guard +in use/);
    expect(await accelerated(inner, CURL)).toBe(`${PAGE}\nswitched 1 fallback 0\n`);
    expect((await inner.sh('sockswitch doctor')).stdout).toContain('\n0 problems, 0 warnings');
  });

  test('unprivileged: without the guard and without kcmp', async () => {
    const outer = UNPRIVILEGED;
    const inner = await start({ name: 'unprivileged', outer, configuration: WAIVED });
    const daemon = await inner.startDaemon();
    expect(daemon.stdout).toMatch(/kcmp +not permitted/);
    expect(await accelerated(inner, CURL)).toBe(`${PAGE}\nswitched 1 fallback 0\n`);
    const python = ['python3', '-c', PYTHON];
    expect(await accelerated(inner, python)).toBe(`${PAGE}\nswitched 1 fallback 0\n`);
    expect(await accelerated(inner, CURL, 'slirp4netns')).toBe(`${PAGE}\nswitched 1 fallback 0\n`);
    const { stdout } = await inner.sh('sockswitch doctor');
    expect(stdout).toContain('note    kcmp is not permitted');
    expect(stdout).toContain('-> start the outer container with --cap-add=bpf');
  });

  test('unprivileged, and the guard not waived: nothing, and install says what would help', async () => {
    const inner = await start({ name: 'guarded', outer: UNPRIVILEGED });
    const daemon = await inner.startDaemon();
    expect(daemon.stdout).toContain('Nothing is accelerated yet');
    expect(daemon.stdout).toContain('-> start the outer container with --cap-add=bpf');
    expect(await accelerated(inner, CURL)).toBe(`${PAGE}\n`);
  });

  test('unprivileged, with the two capabilities: with the guard', async () => {
    const outer = [...UNPRIVILEGED, '--cap-add=sys_ptrace,bpf'];
    const inner = await start({ name: 'capable', outer });
    const daemon = await inner.startDaemon();
    expect(daemon.stdout).toMatch(/socket guard +in use/);
    expect(daemon.stdout).toMatch(/kcmp +in use/);
    expect(await accelerated(inner, CURL)).toBe(`${PAGE}\nswitched 1 fallback 0\n`);
  });

  test('with /proc masked and no /dev/net/tun: no inner container, and doctor says why', async () => {
    const inner = await start({ name: 'masked', outer: [], configuration: WAIVED });
    await inner.startDaemon();
    const { stdout } = await inner.sh('sockswitch doctor');
    expect(stdout).toContain('PROBLEM /dev/net/tun cannot be opened (ENOENT)');
    expect(stdout).toContain('--device /dev/net/tun');
    expect(stdout).toContain('WARNING parts of /proc are covered here (');
    const run = await inner.sh('podman run --rm --network none localhost/lab true');
    expect(run.status).not.toBe(0);
  });

  test('in a container that is accelerated itself: one listener is there already', async () => {
    // The lab's user is the one whose sockswitch accelerates the outer container.
    const script = `
podman run --rm --annotation sockswitch/enable=true -v /usr/local/bin/node:/usr/local/bin/node:ro -v /opt/sockswitch:/opt/sockswitch:ro \\
  -e XDG_RUNTIME_DIR=/tmp localhost/lab sh -c '
    chmod 700 /tmp; node /opt/sockswitch/dist/cli.js daemon; node /opt/sockswitch/dist/cli.js --version'`;
    const { stdout, stderr } = await host1.sh(script);
    expect(stderr).toContain('has a listener already');
    expect(stderr).not.toContain('lacks');
    expect(stdout).toContain('a seccomp listener is in use here');
  });
});
