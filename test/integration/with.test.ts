/** `sockswitch with`: what a command starts is accelerated, on the real Podman: containers, pods, compose, builds. */
import { describe, expect, test } from 'vitest';
import { startDaemon, stopDaemon } from './support/daemon.js';
import { describeOnLab, HOST1, host1, REMOTE, type Result } from './support/lab.js';
import { ps } from './support/podman.js';

const PAGE = 'hello from remote\n';
const CURL = `curl -sS --max-time 10 http://${REMOTE.v4}/`;

/** Of the daemon's log behind the size $before. */
const COUNTS = `tail -c +$((before + 1)) ~/sockswitch-daemon.log | sed -n 's/.*"switched":\\([0-9]*\\),"fallback":\\([0-9]*\\).*/switched \\1 fallback \\2/p'`;

/** Builds in a directory of its own; the output has `switched N` and `fallback N` of the daemon's log behind it. */
function build(
  containerfile: string,
  words: readonly string[] = [],
  options = '',
  tool = 'podman build',
): Promise<Result> {
  const script = `
set -e
directory=$(mktemp -d); trap 'rm -rf "$directory"' EXIT; cd "$directory"
cat >Containerfile
before=$(stat --format=%s ~/sockswitch-daemon.log)
sockswitch with ${options} -- ${tool} --no-cache --quiet=false "$@" . <Containerfile 2>&1
sleep 0.5
${COUNTS}`;
  return host1.sh(script, words, { stdin: containerfile });
}

describeOnLab('sockswitch with', () => {
  test('podman run, whatever the command is that calls it', async () => {
    const script = `podman run --rm localhost/lab ${CURL}; sleep 0.5; tail -n 1 ~/sockswitch-daemon.log`;
    const run = await host1.run(['sockswitch', 'with', '--', 'bash', '-c', script]);
    expect(run.stdout).toContain(PAGE);
    expect(run.stdout).toContain('"switched":1,"fallback":0');
  });

  test('containers have the annotations, and an option of their own wins', async () => {
    const script = `
id=$(podman run -d localhost/lab sleep infinity)
podman inspect --format '{{index .Config.Annotations "sockswitch/ignore"}}' $id
podman exec $id ${CURL}
echo $id
podman run --rm --annotation sockswitch/enable=false localhost/lab grep Seccomp_filters /proc/self/status`;
    const words = [
      'sockswitch',
      'with',
      '--ignore',
      `${REMOTE.v4},fd00::/8`,
      '--',
      'bash',
      '-c',
      script,
    ];
    const [ignore, page, id = '', filters] = (await host1.output(words)).split('\n');
    expect([ignore, page]).toEqual([`${REMOTE.v4}/32 fd00::/8`, PAGE.trim()]);
    const row = (await ps()).containers.find((one) => one.id === id);
    expect(row?.counts).toMatchObject({ switched: 0 });
    expect(row?.reasons).toMatchObject([{ outcome: 'ignored', count: 1 }]);
    expect(filters).toContain('1');
    await host1.output(['podman', 'rm', '--force', '--time', '0', id]);
  });

  test('a node container leaves alone what kind’s configuration names as the cluster’s', async () => {
    const script = `
set -e
directory=$(mktemp -d); trap 'rm -rf "$directory"' EXIT; cd "$directory"
cat >kind.yaml
printf '#!/bin/sh\nexec podman run -d --privileged localhost/lab sleep infinity\n' >kind
chmod +x kind
id=$(PATH=$PWD:$PATH sockswitch with --preset kubernetes -- kind create cluster --config kind.yaml)
podman inspect --format '{{index .Config.Annotations "sockswitch/ignore"}}' $id
podman exec $id ${CURL}
echo $id`;
    const networking = `networking: {podSubnet: 10.97.0.0/16, serviceSubnet: ${REMOTE.v4}/32}\n`;
    const stdin = `kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n${networking}`;
    const { stdout, stderr } = await host1.sh(script, [], { stdin });
    const [ignore, page, id = ''] = stdout.split('\n');
    expect([ignore, page], stderr).toEqual([`10.97.0.0/16 ${REMOTE.v4}/32`, PAGE.trim()]);
    const row = (await ps()).containers.find((one) => one.id === id);
    expect(row?.counts).toMatchObject({ switched: 0 });
    expect(row?.reasons).toMatchObject([{ outcome: 'ignored', count: 1 }]);
    await host1.output(['podman', 'rm', '--force', '--time', '0', id]);
  });

  test('an override file that the user has, and descriptors for podman itself', async () => {
    const script = `
printf '[containers]\\nannotations = ["mine=1"]\\nenv = ["OF_MINE=2"]\\n' >mine.conf
export CONTAINERS_CONF_OVERRIDE=$PWD/mine.conf
exec 3<<<"of descriptor 3"
sockswitch with -- podman run --rm --preserve-fds=1 --name with-mine localhost/lab bash -c 'echo $OF_MINE; cat <&3; ${CURL}ip; sleep 2' &
for i in {1..100}; do podman container exists with-mine && break; sleep 0.1; done
podman inspect --format '{{index .Config.Annotations "mine"}} {{index .Config.Annotations "sockswitch/enable"}}' with-mine
wait; rm mine.conf`;
    const result = await host1.run(['bash', '-c', script]);
    const lines = result.stdout.trim().split('\n');
    expect(lines.sort(), result.stderr).toEqual(
      ['2', 'of descriptor 3', HOST1.v4, '1 true'].sort(),
    );
  });

  test('--shell', async () => {
    const shell = ['env', 'SHELL=/bin/bash', 'sockswitch', 'with', '--shell'];
    const stdin = `podman run --rm localhost/lab ${CURL}ip\nexit 3\n`;
    expect(await host1.run(shell, { stdin })).toMatchObject({ status: 3, stdout: `${HOST1.v4}\n` });
  });

  test('a container of it can be stopped and started again without it', async () => {
    const made = [
      'podman',
      'run',
      '-d',
      '--name',
      'with-again',
      'localhost/lab',
      'sleep',
      'infinity',
    ];
    await host1.output(['sockswitch', 'with', '--', ...made]);
    await host1.output(['podman', 'restart', '--time', '0', 'with-again']);
    const ip = await host1.output(['podman', 'exec', 'with-again', 'sh', '-c', `${CURL}ip`]);
    expect(ip).toBe(`${HOST1.v4}\n`);
    const id = (
      await host1.output(['podman', 'inspect', '--format', '{{.Id}}', 'with-again'])
    ).trim();
    expect((await ps()).containers.find((one) => one.id === id)?.counts).toMatchObject({
      switched: 1,
    });
    await host1.output(['podman', 'rm', '--force', '--time', '0', 'with-again']);
  });

  test('podman-compose, and podman kube play', async () => {
    const compose = `
set -e
directory=$(mktemp -d); trap 'rm -rf "$directory"' EXIT; cd "$directory"
cat >compose.yaml <<'YAML'
services:
  web:
    image: localhost/lab
    command: sleep infinity
YAML
cat >pod.yaml <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: with-pod}
spec: {containers: [{name: one, image: localhost/lab, command: [sleep, infinity]}]}
YAML
sockswitch with -- podman-compose --no-ansi -p withtest up -d >/dev/null 2>&1
sockswitch with -- podman kube play pod.yaml >/dev/null
for name in withtest_web_1 with-pod-one; do
  podman exec $name ${CURL}ip
  sockswitch ps --json | jq --raw-output --arg name $name '.containers[] | select(.name == $name) | .counts.switched'
done
podman-compose -p withtest down --timeout 0 >/dev/null 2>&1
podman kube down pod.yaml >/dev/null`;
    const result = await host1.sh(compose);
    expect(result.stdout, result.stderr).toBe(`${HOST1.v4}\n1\n${HOST1.v4}\n1\n`);
  });

  test('without a daemon: a warning, and nothing with --required', async () => {
    await stopDaemon();
    try {
      const run = ['podman', 'run', '--rm', 'localhost/lab', 'echo', 'ran'];
      const warned = await host1.run(['sockswitch', 'with', '--', ...run]);
      expect(warned).toMatchObject({ status: 0, stdout: 'ran\n' });
      expect(warned.stderr).toContain('no daemon is running');
      const refused = await host1.run(['sockswitch', 'with', '--required', '--', ...run]);
      expect(refused).toMatchObject({ status: 125, stdout: '' });
    } finally {
      await startDaemon();
    }
  });

  test('a Podman service of this user, which is started with it', async () => {
    const socket = '/tmp/with-podman.sock';
    const service = ['podman', 'system', 'service', '--time', '0', `unix://${socket}`];
    await host1.serve(['sockswitch', 'with', '--', ...service], `test -S ${socket}`);
    const remote = ['podman', '--remote', '--url', `unix://${socket}`];
    const words = [...remote, 'run', '--rm', 'localhost/lab', 'sh', '-c', `sleep 1; ${CURL}ip`];
    expect((await host1.run(words)).stdout.trim()).toBe(HOST1.v4);
    await host1.stopServers();
  });

  describe('builds', () => {
    test('RUN steps of all stages, with cache mounts', async () => {
      const result = await build(`
FROM localhost/lab AS first
RUN --mount=type=cache,target=/cache ${CURL}ip | tee /cache/ip >/ip
FROM localhost/lab
COPY --from=first /ip /ip
RUN --mount=type=cache,target=/cache cmp /ip /cache/ip && ${CURL}ip && cat /ip
`);
      expect(result.status, result.stdout).toBe(0);
      expect(result.stdout.match(new RegExp(`^${HOST1.v4}$`, 'gm'))).toHaveLength(2);
      expect(result.stdout.match(/^switched 1 fallback 0$/gm)).toHaveLength(2);
    });

    test('--network=none stays none', async () => {
      const result = await build(`FROM localhost/lab\nRUN ! ${CURL} --max-time 2\n`, [
        '--network=none',
      ]);
      expect(result.status, result.stdout).toBe(0);
      expect(result.stdout).toMatch(/^switched 0 fallback 1$/m);
    });

    test('the ignore list, and a profile of the user', async () => {
      const own = `${REMOTE.v4}/32`;
      const ignored = await build(`FROM localhost/lab\nRUN ${CURL}\n`, [], `--ignore ${own}`);
      expect(ignored.status, ignored.stdout).toBe(0);
      expect(ignored.stdout).toMatch(/^switched 0 fallback 1$/m);
      await host1.output([
        'sh',
        '-c',
        `jq '(.syscalls[] | select(.names | index("mkdir")) | .names) -= ["mkdir", "mkdirat"]' /usr/share/containers/seccomp.json >own.json`,
      ]);
      const words = ['--security-opt', 'seccomp=/home/lab/own.json'];
      const text = `FROM localhost/lab\nRUN ! mkdir /new && ${CURL}\n`;
      const profile = await build(text, words);
      expect(profile.status, profile.stdout).toBe(0);
      expect(profile.stdout).toMatch(/^switched 1 fallback 0$/m);
    });

    test('seccomp=unconfined stays so', async () => {
      // A personality that Podman's own profile does not allow.
      const text = (which: string) =>
        `FROM localhost/lab\nRUN ${which}setarch --addr-no-randomize true && ${CURL}ip\n`;
      const words = ['--security-opt', 'seccomp=unconfined'];
      const unconfined = await build(text(''), words);
      expect(unconfined.status, unconfined.stdout).toBe(0);
      expect(unconfined.stdout).toMatch(/^switched 1 fallback 0$/m);
      const confined = await build(text('! '));
      expect(confined.status, confined.stdout).toBe(0);
    });

    test('several at once', async () => {
      const text = (name: string) => `FROM localhost/lab\nRUN ${CURL}ip && echo ${name}\n`;
      const lines = async () =>
        (await host1.output(['cat', 'sockswitch-daemon.log'])).match(/"switched":.*/g) ?? [];
      const before = (await lines()).length;
      const results = await Promise.all(['one', 'two', 'three'].map((name) => build(text(name))));
      for (const { status, stdout } of results) {
        expect(status, stdout).toBe(0);
        expect(stdout).toContain(`\n${HOST1.v4}\n`);
      }
      const counted = (await lines())
        .slice(before)
        .map((line) => /^"switched":\d+,"fallback":\d+/.exec(line)?.[0]);
      expect(counted).toEqual(Array(3).fill('"switched":1,"fallback":0'));
    });

    test('buildah bud', async () => {
      const text = `FROM localhost/lab\nRUN ${CURL}ip\n`;
      const result = await build(text, [], '', 'buildah bud');
      expect(result.status, result.stdout).toBe(0);
      expect(result.stdout).toMatch(/^switched 1 fallback 0$/m);
    });

    test('buildah run works when the files of ours are gone, and with --isolation=chroot', async () => {
      const script = `
exec 2>&1
container=$(sockswitch with -- buildah from localhost/lab 2>said)
grep -c '"buildah run" takes no seccomp profile' said; rm said
rm -f $XDG_RUNTIME_DIR/sockswitch/with/build-*
for isolation in oci chroot; do buildah run --isolation=$isolation "$container" -- ${CURL}; done
sockswitch with --required -- buildah run "$container" -- true; echo $?
buildah rm "$container" >/dev/null`;
      const { stdout } = await host1.sh(script);
      expect(stdout).toBe(
        `1\n${PAGE}${PAGE}sockswitch: --required was given, and "buildah run" takes no seccomp profile, so what it runs in a working container is not accelerated: "buildah build" is\n125\n`,
      );
    });

    test('--isolation=oci, and a Containerfile from standard input', async () => {
      const result = await build(`FROM localhost/lab\nRUN ${CURL}ip\n`, [
        '--isolation=oci',
        '--file=-',
      ]);
      expect(result.status, result.stdout).toBe(0);
      expect(result.stdout).toContain(`\n${HOST1.v4}\n`);
      expect(result.stdout).toMatch(/^switched 1 fallback 0$/m);
    });

    test('a step of --network=host is in the host’s network, and not switched', async () => {
      const text = `FROM localhost/lab\nRUN --network=host readlink /proc/self/ns/net && ${CURL}ip\n`;
      const result = await build(text);
      expect(result.status, result.stdout).toBe(0);
      const host = (await host1.output(['readlink', '/proc/self/ns/net'])).trim();
      expect(result.stdout).toContain(`\n${host}\n${HOST1.v4}\n`);
      expect(result.stdout).not.toMatch(/^switched [1-9]/m);
    });

    test('in a service of this user, with the profile that is advised there', async () => {
      const socket = '/tmp/with-build.sock';
      const service = ['podman', 'system', 'service', '--time', '0', `unix://${socket}`];
      await host1.serve(service, `test -S ${socket}`);
      await host1.output(['sh', '-c', 'sockswitch profile >service.json']);
      const words = ['--security-opt', 'seccomp=/home/lab/service.json'];
      const podman = `podman --url unix://${socket} build`;
      const result = await build(`FROM localhost/lab\nRUN ${CURL}ip\n`, words, '', podman);
      await host1.stopServers();
      expect(result.status, result.stdout).toBe(0);
      expect(result.stdout).toContain('pass --security-opt seccomp=FILE with FILE from');
      expect(result.stdout).toMatch(/^switched 1 fallback 0$/m);
    });

    test('podman-compose builds, and runs what it has built', async () => {
      const script = `
directory=$(mktemp -d); trap 'rm -rf "$directory"' EXIT; cd "$directory"
cat >compose.yaml <<'YAML'
services:
  one:
    build: .
    command: ${CURL}ip
YAML
printf 'FROM localhost/lab\\nRUN ${CURL}ip; : %s\\n' "$directory" >Containerfile # one that is not in the cache
before=$(stat --format=%s ~/sockswitch-daemon.log)
sockswitch with -- podman-compose --no-ansi -p withbuild up --build 2>&1
sleep 0.5
${COUNTS}
podman-compose -p withbuild down --timeout 0 >/dev/null 2>&1
podman rmi --force localhost/withbuild_one >/dev/null`;
      const { stdout } = await host1.sh(script);
      expect(stdout.match(/^switched 1 fallback 0$/gm), stdout).toHaveLength(2);
    });

    test('slirp4netns, and runc', async () => {
      const words = ['--network=slirp4netns', '--runtime=/usr/sbin/runc'];
      const result = await build(`FROM localhost/lab\nRUN ${CURL}ip\n`, words);
      expect(result.status, result.stdout).toBe(0);
      expect(result.stdout).toMatch(/^switched 1 fallback 0$/m);
    });

    test('--isolation=chroot has the host’s network, and that is said', async () => {
      const result = await build('FROM localhost/lab\nRUN readlink /proc/self/ns/net\n', [
        '--isolation=chroot',
      ]);
      expect(result.status, result.stdout).toBe(0);
      expect(result.stdout).toContain('there is nothing to accelerate');
      const host = (await host1.output(['readlink', '/proc/self/ns/net'])).trim();
      expect(result.stdout).toContain(host);
    });
  });
});
