/**
 * sockswitch in a container (docs/nesting.md): a container of root's Podman stands for a pod of Kubernetes, and in it
 * a user with a Podman and a sockswitch of its own.
 */
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { describeOnLab, eventually, host1, REMOTE } from './support/lab.js';
import { NEST_STORAGE, Nest, type Nesting, removeNests } from './support/nest.js';
import { SAMPLE, unlessSample } from './support/sample.js';

/** Where the host's Podman service listens, outside and inside. */
const SOCKETS = '/tmp/nest-socket';
const PAGE = 'hello from remote';
const DEVICES = ['--device=/dev/fuse', '--device=/dev/net/tun'];
const UNPRIVILEGED = [...DEVICES, '--security-opt=unmask=ALL'];
const ROOT_CAPABILITIES = '--cap-add=sys_admin,net_admin,mknod';
/** npm test has one root only, since each takes many seconds. */
const ROOTS = [
  { name: 'privileged-root', outer: ['--privileged'] },
  {
    name: 'capable-root',
    outer: [...UNPRIVILEGED, ROOT_CAPABILITIES, '--cap-add=sys_ptrace,bpf'],
  },
].slice(0, SAMPLE ? 1 : undefined);
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
  image = 'lab',
): Promise<string> {
  const script = `
podman run --rm --network "$1" --annotation sockswitch/enable=true "localhost/$2" "\${@:3}"
sleep 0.5
sed -n 's/.*"switched":\\([0-9]*\\),"fallback":\\([0-9]*\\).*/switched \\1 fallback \\2/p' daemon.log | tail -n 1`;
  const result = await inner.sh(script, [network, image, ...command]);
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

  // Podman refuses pasta to root, and a bridge is the kernel's: slirp4netns is what is left to accelerate.
  test.each(ROOTS)(
    'root, $name: slirp4netns with the guard, and bridges as they are',
    async (nesting) => {
      const inner = await start({ ...nesting, user: 0 });
      const daemon = await inner.startDaemon();
      expect(daemon.stdout).toMatch(/socket guard +in use/);
      expect(await accelerated(inner, CURL, 'slirp4netns')).toBe(
        `${PAGE}\nswitched 1 fallback 0\n`,
      );
      expect(await accelerated(inner, CURL, 'bridge')).toBe(`${PAGE}\nswitched 0 fallback 1\n`);
      const pasta = await inner.sh('podman run --rm --network pasta localhost/lab true');
      expect(pasta.stderr).toContain('pasta networking is only supported for rootless mode');
      const { stdout } = await inner.sh('sockswitch doctor');
      expect(stdout).toContain('note    Podman runs as root in a container');
      expect(stdout).toContain('\n0 problems, 0 warnings');
    },
  );

  unlessSample('root without CAP_SYS_ADMIN: no inner container, and doctor says why', async () => {
    const outer = [...UNPRIVILEGED, '--cap-add=sys_ptrace,bpf'];
    const inner = await start({ name: 'unable-root', outer, user: 0 });
    await inner.startDaemon();
    const { stdout } = await inner.sh('sockswitch doctor');
    expect(stdout).toContain('PROBLEM Podman runs as root here and without CAP_SYS_ADMIN');
    expect(stdout).toContain(`-> start the outer container with ${ROOT_CAPABILITIES}`);
    const run = await inner.sh('podman run --rm --network none localhost/lab true');
    expect(run.status, run.stderr).not.toBe(0);
    expect(run.stderr).toMatch(/Operation not permitted/);
  });

  test('in a user namespace: no guard, and install says why; without it accelerated', async () => {
    const outer = UNPRIVILEGED;
    const inner = await start({ name: 'auto', outer, userNamespace: true });
    const daemon = await inner.startDaemon();
    expect(daemon.stdout).toContain('Nothing is accelerated yet');
    expect(daemon.stdout).toContain(
      "of the machine's first user namespace, which no program in another one has",
    );
    expect(daemon.stdout).toContain('-> run the outer container without a user namespace');
    await inner.sh('sockswitch stop; printf "%s" "$1" >~/.config/sockswitch/config.toml', [WAIVED]);
    await inner.startDaemon();
    const wget = ['wget', '-q', '-O', '-', `http://${REMOTE.v4}/`];
    expect(await accelerated(inner, wget, 'pasta', 'tiny')).toBe(
      `${PAGE}\nswitched 1 fallback 0\n`,
    );
    // Its tap's device is a mount of its own, which it has left.
    expect(await accelerated(inner, wget, 'slirp4netns', 'tiny')).toBe(
      `${PAGE}\nswitched 1 fallback 0\n`,
    );
    const { stdout } = await inner.sh('sockswitch doctor');
    expect(stdout).toContain('WARNING sockets that containers get cannot be guarded');
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

  unlessSample(
    'without /dev/net/tun: --network=none and host only, and doctor says so',
    async () => {
      const outer = ['--device=/dev/fuse', '--security-opt=unmask=ALL'];
      const inner = await start({ name: 'no-tun', outer, configuration: WAIVED });
      await inner.startDaemon();
      expect((await inner.sh('sockswitch doctor')).stdout).toContain(
        'PROBLEM /dev/net/tun cannot be opened (ENOENT)',
      );
      const run = (network: string) =>
        inner.sh(`podman run --rm --network ${network} localhost/lab echo ran`);
      expect((await run('none')).stdout).toBe('ran\n');
      expect((await run('host')).stdout).toBe('ran\n');
      expect((await run('pasta')).status).not.toBe(0);
    },
  );

  test('with /proc masked and no /dev/net/tun: no inner container, and install and doctor say why', async () => {
    const inner = await start({ name: 'masked', outer: [], configuration: WAIVED });
    const daemon = await inner.startDaemon();
    expect(daemon.stdout).toMatch(/^In the way: \/dev\/net\/tun cannot be opened \(ENOENT\)/m);
    expect(daemon.stdout).toMatch(/^In the way: parts of \/proc are covered here \(/m);
    const { stdout } = await inner.sh('sockswitch doctor');
    expect(stdout).toContain('PROBLEM /dev/net/tun cannot be opened (ENOENT)');
    expect(stdout).toContain('--device /dev/net/tun');
    expect(stdout).toContain('WARNING parts of /proc are covered here (');
    const run = await inner.sh('podman run --rm --network none localhost/lab true');
    expect(run.status).not.toBe(0);
  });

  describe('podman --remote, with a socket of the host', () => {
    const remote = (inner: Nest, words: readonly string[]) =>
      inner.sh(`podman --remote --url unix://${SOCKETS}/podman.sock run --rm "$@"`, words);
    const socket = async (service: readonly string[], root: boolean) => {
      const make = `rm -rf ${SOCKETS}; mkdir -m 755 ${SOCKETS}`;
      await host1.sh(make, [], { root });
      const words = ['system', 'service', '--time', '0', `unix://${SOCKETS}/podman.sock`];
      await host1.serve(['podman', ...service, ...words], `test -S ${SOCKETS}/podman.sock`, {
        root,
      });
      const user = root ? 0 : 1000;
      return start({ name: 'remote', outer: [`--volume=${SOCKETS}:${SOCKETS}`], user });
    };
    afterEach(async () => {
      await host1.stopServers();
      await host1.sh(`rm -rf ${SOCKETS}`, [], { root: true });
    });

    test("an ordinary user's: the host's sockswitch accelerates, and reports bad annotations", async () => {
      const inner = await socket([], false);
      const enable = ['--annotation', 'sockswitch/enable=true'];
      const run = ['localhost/lab', 'sh', '-c', `sleep 0.5; ${CURL.join(' ')}`];
      expect((await remote(inner, [...enable, ...run])).stdout).toContain(PAGE);
      const counted = async () =>
        (await host1.output(['tail', '-n', '1', 'sockswitch-daemon.log'])).includes(
          '"switched":1,"fallback":0',
        ) || undefined;
      await eventually("the host's daemon has counted it", counted);
      const bad = await remote(inner, ['--annotation', 'sockswitch/enable=maybe', ...run]);
      expect(bad.status).not.toBe(0);
      expect(bad.stderr).toContain(
        'sockswitch: annotation sockswitch/enable is "maybe": set it to "true" or "false"',
      );
    });

    test("root's: annotations have no effect, and sockswitch/required has none either", async () => {
      const inner = await socket(NEST_STORAGE, true);
      const annotations = ['enable=true', 'required=true', 'typo=true'].flatMap((one) => [
        '--annotation',
        `sockswitch/${one}`,
      ]);
      const words = [...annotations, '--cgroups=disabled', '--cgroupns=host', 'localhost/lab'];
      const { stdout, stderr } = await remote(inner, [
        ...words,
        ...['sh', '-c', 'sleep 0.5; grep Seccomp_filters /proc/self/status'],
      ]);
      expect(stdout, stderr).toBe('Seccomp_filters:\t1\n');
    });
  });

  test('in a container that is accelerated itself: one listener is there already', async () => {
    // The lab's user is the one whose sockswitch accelerates the outer container.
    const script = `
podman run --rm --annotation sockswitch/enable=true -v /usr/local/bin/node:/usr/local/bin/node:ro -v /opt/sockswitch:/opt/sockswitch:ro \\
  -e XDG_RUNTIME_DIR=/tmp localhost/lab sh -c '
    chmod 700 /tmp
    for verb in daemon --version doctor install; do node /opt/sockswitch/dist/cli.js $verb; done'`;
    const { stdout, stderr } = await host1.sh(script);
    expect(stderr).toContain('has a listener already');
    expect(stderr).not.toContain('lacks');
    expect(stdout).toContain('a seccomp listener is in use here');
    expect(stdout).toMatch(/^PROBLEM .*has a listener already/m);
    expect(stdout).toMatch(/^Nothing is accelerated yet: .*has a listener already/m);
  });

  unlessSample('and inner containers run, on their own network', async () => {
    // The host's programs in an image that has none: its root cannot be the host's own here.
    const mounts = ['/usr:/usr', '/usr/bin:/bin', '/usr/sbin:/sbin', '/usr/lib:/lib']
      .concat(['/usr/lib64:/lib64', '/etc:/etc', '/var/lib/lab-images:/var/lib/lab-images'])
      .map((one) => `-v ${one}:ro`);
    const script = `
id=$(podman run -d --privileged --network pasta --annotation sockswitch/enable=true \
  --tmpfs /inner --tmpfs /tmp --tmpfs /run --tmpfs /var/tmp ${mounts.join(' ')} localhost/tiny sleep infinity)
podman exec -i $id bash -s <<'INNER'
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/inner
podman --root /inner/storage --runroot /inner/run --storage-opt additionalimagestore=/var/lib/lab-images --cgroup-manager cgroupfs \
  run --rm --cgroups=disabled --cgroupns=host --uts=host --network slirp4netns localhost/tiny wget -q -O - http://${REMOTE.v4}/
INNER
sockswitch ps --json
podman rm --force --time 0 $id >/dev/null`;
    const { stdout, stderr } = await host1.sh(script);
    expect(stdout, stderr).toMatch(new RegExp(`^${PAGE}$`, 'm'));
    expect(stdout).toMatch(/"nested": \{\s*"networks": 1,\s*"connects": 1\b/);
    // The connection of the inner slirp4netns, which is a process of the outer container.
    expect(stdout).toMatch(/"switched": 1\b/);
  });
});
