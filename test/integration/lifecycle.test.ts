/**
 * What Podman does to containers in their lives, and whether they are accelerated afterwards as before: ends and
 * restarts of every kind, pods, `podman kube play`, podman-compose, `podman build`, and many starts at the same time. Quadlet units:
 * systemd.test.ts.
 */
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { daemonStatus } from './support/daemon.js';
import {
  describeOnLab,
  eventually,
  HOST1,
  host1,
  listens,
  REMOTE,
  type Result,
  remote,
} from './support/lab.js';
import { RUNTIMES } from './support/places.js';
import { Container, ENABLED, eventuallyCounters, ps, startContainer } from './support/podman.js';
import { curl } from './support/programs.js';
import { ask, listening, publish, service } from './support/published.js';
import { SAMPLE } from './support/sample.js';

const PAGE = 'hello from remote\n';
const FETCH_AND_STAY = ['sh', '-c', `${curl(REMOTE.v4).join(' ')} && exec sleep infinity`];

/** The remote machine has two addresses. */
const OUTSIDE = /^10\.77\.0\.1(00)?$/;
const ECHO_PORT = 8496;
const ECHO = `
import socket
server = socket.create_server(('', ${ECHO_PORT}))
client = server.accept()[0]
while data := client.recv(100): client.sendall(data)
`;
/** One connection; says on it what SAY puts into /tmp/say, and puts the answer into a file of this name. */
const TALK = `
import os, socket, sys, time
sock = socket.create_connection((sys.argv[1], ${ECHO_PORT}))
said = None
open("/tmp/say", "w").write("0")
while True:
    word = open("/tmp/say").read()
    if word and word != said:
        sock.sendall(word.encode())
        open("/tmp/answer", "w").write(sock.recv(100).decode())
        os.rename("/tmp/answer", "/tmp/" + word)
        said = word
    time.sleep(0.05)
`;
const SAY =
  'printf %s "$1" >/tmp/say; timeout 10 sh -c \'until test -e "/tmp/$0"; do sleep 0.05; done; cat "/tmp/$0"\' "$1"';

const podman = (...words: string[]): Promise<string> => host1.output(['podman', ...words]);

async function rows(container: Container): Promise<number> {
  return (await ps()).containers.filter(({ id }) => id === container.id).length;
}

/** It has made its first connection since its last start, and no other; makes another one. */
async function expectAccelerated(container: Container): Promise<void> {
  await eventuallyCounters(container, ({ switched }) => switched === 1);
  expect((await container.exec(curl(REMOTE.v4))).stdout).toBe(PAGE);
  await eventuallyCounters(container, ({ switched }) => switched === 2);
  expect(await container.counters()).toMatchObject({ fallback: 0 });
  expect(await rows(container), 'rows in sockswitch ps').toBe(1);
}

async function inspect(container: Container, format: string): Promise<string> {
  return (await podman('inspect', '--format', format, container.id)).trim();
}

async function named(name: string): Promise<Container> {
  const id = (await podman('inspect', '--format', '{{.Id}}', name)).trim();
  return new Container(host1, id, name);
}

async function ended(container: Container): Promise<void> {
  await eventually('the end of the container', async () =>
    (await rows(container)) === 0 ? true : undefined,
  );
}

describeOnLab('a container', () => {
  describe.each(SAMPLE ? RUNTIMES.slice(0, 1) : RUNTIMES)('with %s', (runtime) => {
    // The network goes with its last container, and its pasta or slirp4netns, too.
    test('whose network is disconnected and connected again', async () => {
      const container = await startContainer({
        runtime,
        network: 'bridge',
        annotations: ENABLED,
        command: FETCH_AND_STAY,
      });
      await expectAccelerated(container);
      const network = await inspect(
        container,
        '{{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{end}}',
      );
      for (let times = 1; times <= 2; times++) {
        await podman('network', 'disconnect', network, container.id);
        expect((await container.exec(curl(REMOTE.v4))).status).not.toBe(0);
        await eventuallyCounters(container, ({ reasons }) => reasons['no-route'] === times);
        await podman('network', 'connect', network, container.id);
        expect((await container.exec(curl(REMOTE.v4))).stdout).toBe(PAGE);
        await eventuallyCounters(container, ({ switched }) => switched === 2 + times);
      }
    });

    test('whose networks are all disconnected while a connection is open, and connected again', async () => {
      const container = await startContainer({
        runtime,
        network: 'bridge',
        annotations: publish('8495:110'),
        command: service('tcp', '::', '110'),
      });
      onTestFinished(() => container.remove());
      await listening(container);
      const published = () => ask(remote, 'tcp', HOST1.v4, 8495);
      const network = await inspect(
        container,
        '{{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{end}}',
      );
      const echo = await remote.serve(['python3', '-c', ECHO], listens(ECHO_PORT));
      onTestFinished(() => echo.stop());
      await container.serve(`python3 -c '${TALK}' ${REMOTE.v4}`, 'test -e /tmp/0');
      expect(await published()).toMatch(OUTSIDE);
      await podman('network', 'disconnect', network, container.id);
      expect(await container.output(['ls', '/sys/class/net'])).toBe('lo\n');
      expect(await container.output(['sh', '-c', SAY, 'sh', '1']), 'on the open one').toBe('1');
      expect(await published(), 'by the host').toMatch(OUTSIDE);
      await podman('network', 'connect', network, container.id);
      expect(await container.output(['sh', '-c', SAY, 'sh', '2'])).toBe('2');
      expect(await published()).toMatch(OUTSIDE);
      expect(await ask(container, 'tcp', '127.0.0.1', 110)).toBe('127.0.0.1');
    });

    test.each(['always', 'on-failure'])(
      'whose process is killed is started again by --restart=%s',
      async (policy) => {
        const container = await startContainer({
          runtime,
          annotations: ENABLED,
          args: ['--restart', policy],
          command: FETCH_AND_STAY,
        });
        await expectAccelerated(container);
        for (const restarts of ['1', '2']) {
          const pid = await inspect(container, '{{.State.Pid}}');
          await host1.output(['kill', '-KILL', pid]);
          await eventually('the restart', async () =>
            (await inspect(container, '{{.RestartCount}} {{.State.Running}}')) ===
            `${restarts} true`
              ? true
              : undefined,
          );
          await expectAccelerated(container);
        }
        await container.remove();
        await ended(container);
      },
    );

    test('is restarted, stopped, started, paused and unpaused', async () => {
      const container = await startContainer({
        runtime,
        annotations: ENABLED,
        command: FETCH_AND_STAY,
      });
      await expectAccelerated(container);
      await podman('restart', '--time', '0', container.id);
      await expectAccelerated(container);
      await podman('stop', '--time', '0', container.id);
      await ended(container);
      await podman('start', container.id);
      await expectAccelerated(container);

      const waiting = container.sh(`echo ready; sleep 1; exec ${curl(REMOTE.v4).join(' ')}`);
      await eventually('its start', async () =>
        (await podman('top', container.id, 'args')).includes('sleep 1') ? true : undefined,
      );
      await podman('pause', container.id);
      expect(await rows(container)).toBe(1);
      await podman('unpause', container.id);
      expect((await waiting).stdout).toBe(`ready\n${PAGE}`);
      await eventuallyCounters(container, ({ switched }) => switched === 3);
      await container.remove();
    });
  });

  test('goes on after a checkpoint that Podman refuses', async () => {
    const container = await startContainer({ annotations: ENABLED, command: FETCH_AND_STAY });
    const refused = await host1.run(['podman', 'container', 'checkpoint', container.id]);
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toContain('checkpointing a container requires root');
    await expectAccelerated(container);
    await container.remove();
  });

  test('is stopped by podman system migrate, and accelerated when it is started again', async () => {
    const container = await startContainer({
      annotations: ENABLED,
      args: ['--stop-timeout', '0'],
      command: FETCH_AND_STAY,
    });
    await expectAccelerated(container);
    await podman('system', 'migrate');
    expect(await inspect(container, '{{.State.Running}}')).toBe('false');
    await ended(container);
    await podman('start', container.id);
    await expectAccelerated(container);
    await container.remove();
  });
});

describeOnLab('a pod', () => {
  const POD = 'lifecycle';
  afterEach(async () => {
    await host1.run(['podman', 'pod', 'rm', '--force', '--time', '0', '--ignore', POD]);
  });

  test('has an accelerated container beside one that is not, before and after its restart', async () => {
    await podman('pod', 'create', '--name', POD, '--network', 'pasta');
    const args = ['--pod', POD, '--stop-timeout', '0'];
    const plain = await startContainer({ network: '', args, command: FETCH_AND_STAY });
    const accelerated = await startContainer({
      ...{ network: '', args, command: FETCH_AND_STAY },
      annotations: ENABLED,
    });
    for (const _ of ['created', 'restarted']) {
      await expectAccelerated(accelerated);
      expect((await plain.exec(curl(REMOTE.v4))).stdout).toBe(PAGE);
      expect((await ps()).containers).toHaveLength(1);
      await podman('pod', 'restart', POD);
    }
    expect(await inspect(accelerated, '{{.RestartCount}} {{.State.Running}}')).toBe('0 true');
  });

  const containers = ['one', 'two'].map((name) => ({
    ...{ name, image: 'localhost/lab', command: FETCH_AND_STAY },
    imagePullPolicy: 'Never',
  }));
  const spec = { terminationGracePeriodSeconds: 0, containers };
  const annotated = { name: POD, annotations: ENABLED };
  const play = (document: object, ...words: string[]): Promise<Result> =>
    host1.run(['podman', 'kube', 'play', '--network', 'pasta', ...words, '-'], {
      stdin: JSON.stringify(document),
    });

  test.each([
    ['of the pod', { apiVersion: 'v1', kind: 'Pod', metadata: annotated, spec }, []],
    [
      'of the command line',
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: POD }, spec },
      ['--annotation', 'sockswitch/enable=true'],
    ],
  ])(
    'that podman kube play makes: the annotations %s reach its containers',
    async (_, pod, words) => {
      const played = await play(pod, ...words);
      expect(played.status, played.stderr).toBe(0);
      for (const { name } of containers) await expectAccelerated(await named(`${POD}-${name}`));
      expect((await ps()).containers, 'not the infra container').toHaveLength(2);
      await podman('pod', 'restart', POD);
      for (const { name } of containers) await expectAccelerated(await named(`${POD}-${name}`));
    },
  );

  test('of a Deployment: its own annotations count, not those of its template', async () => {
    const deployment = (own: object, ofTemplate: object) => ({
      ...{ apiVersion: 'apps/v1', kind: 'Deployment' },
      metadata: { name: POD, annotations: own },
      spec: { template: { metadata: { name: POD, annotations: ofTemplate }, spec } },
    });
    const remove = ['pod', 'rm', '--force', '--time', '0', `${POD}-pod`];
    expect((await play(deployment(ENABLED, {}))).status).toBe(0);
    await expectAccelerated(await named(`${POD}-pod-one`));
    await podman(...remove);
    expect((await play(deployment({}, ENABLED))).status).toBe(0);
    expect((await ps()).containers).toEqual([]);
    await podman(...remove);
  });
});

describeOnLab('podman-compose', () => {
  const PROJECT = 'lifecycle';
  const file = `/tmp/${PROJECT}-compose.yaml`;
  const compose = (...words: string[]): Promise<string> =>
    host1.output(['podman-compose', '--file', file, '--project-name', PROJECT, ...words]);
  afterEach(async () => {
    await compose('down', '--timeout', '0');
    await host1.output(['rm', file]);
  });

  test('hands on the annotations of a service, and of no other', async () => {
    const service = { image: 'localhost/lab', command: FETCH_AND_STAY };
    const services = { accelerated: { ...service, annotations: ENABLED }, plain: service };
    await host1.sh('cat >"$1"', [file], { stdin: JSON.stringify({ services }) });
    await compose('up', '--detach');
    await expectAccelerated(await named(`${PROJECT}_accelerated_1`));
    const plain = await named(`${PROJECT}_plain_1`);
    expect((await plain.exec(curl(REMOTE.v4))).stdout).toBe(PAGE);
    expect((await ps()).containers).toHaveLength(1);
    await compose('restart', '--timeout', '0', 'accelerated');
    await expectAccelerated(await named(`${PROJECT}_accelerated_1`));
  });
});

describeOnLab('podman build', () => {
  test('is left alone, and what it makes is accelerated as any image', async () => {
    const before = await ps();
    const file = `FROM localhost/lab\nRUN ${curl(REMOTE.v4).join(' ')} >/page\n`;
    // The annotation is the image's, which Podman does not look at.
    const words = [
      'podman',
      'build',
      '--network',
      'pasta',
      '--annotation',
      'sockswitch/enable=true',
    ];
    const build = `d=$(mktemp -d) && cat >$d/Containerfile && "$@" --tag lifecycle $d; s=$?; rm -r $d; exit $s`;
    const built = await host1.sh(build, words, { stdin: file });
    expect(built.status, built.stderr).toBe(0);
    expect(await ps()).toEqual(before);

    const image = 'localhost/lifecycle';
    const plain = await startContainer({ image });
    expect((await plain.exec(['cat', '/page'])).stdout).toBe(PAGE);
    expect((await ps()).containers).toEqual([]);
    await plain.remove();
    const container = await startContainer({
      image,
      annotations: ENABLED,
      command: FETCH_AND_STAY,
    });
    await expectAccelerated(container);
    await container.remove();
    await podman('rmi', image);
  });
});

describeOnLab('at the same time', () => {
  const START = ['run', '--network=pasta', '--annotation=sockswitch/enable=true'];
  const ON_ONE_SIDE = ['--annotation=sockswitch/required=true', '--label=lifecycle'];
  const remove =
    'podman ps --all --quiet --filter label=lifecycle | xargs -r podman rm --force --time 0';
  afterEach(() => host1.output(['sh', '-c', remove]));

  test('50 containers start, each with 20 connections', async () => {
    const program = `for n in $(seq 20); do ${curl(REMOTE.v4).join(' ')} & done; wait; exec sleep infinity`;
    const start = `seq 50 | xargs -P 50 -I {} podman "$@" >/dev/null`;
    const words = [...START, ...ON_ONE_SIDE, '--detach', 'localhost/lab', 'bash', '-c', program];
    const started = await host1.sh(start, words);
    expect(started.status, started.stderr).toBe(0);
    const containers = await eventually('a thousand connections', async () => {
      const all = (await ps()).containers;
      const made = all.reduce((sum, { counts }) => sum + counts.switched + counts.fallback, 0);
      return made >= 1000 ? all : undefined;
    });
    expect(containers).toHaveLength(50);
    const events = (await host1.output(['sockswitch', 'events', '--json'])).split('\n');
    const slow = containers
      .filter(({ counts }) => counts.switched !== 20 || counts.fallback !== 0)
      .map((container) => ({ container, events: events.filter((e) => e.includes(container.id)) }));
    expect(slow, 'containers whose connections were not all switched').toEqual([]);
    expect(await daemonStatus()).toMatchObject({ containers: 50, listeners: 50 });
    const logs = `podman ps --quiet --filter label=lifecycle | xargs -n 1 podman logs | sort | uniq -c`;
    expect((await host1.sh(logs)).stdout.trim()).toBe(`1000 ${PAGE.trim()}`);
  });

  test('100 small containers start and end', async () => {
    const start = `seq 100 | xargs -P 100 -I {} podman "$@" | sort | uniq -c`;
    const fetch = ['wget', '-qO-', `http://${REMOTE.v4}/`];
    const words = [...START, ...ON_ONE_SIDE, '--rm', 'localhost/tiny', ...fetch];
    const result = await host1.sh(start, words);
    expect(result).toMatchObject({ stderr: '', status: 0 });
    expect(result.stdout.trim()).toBe(`100 ${PAGE.trim()}`);
    await eventually('their end', async () =>
      (await daemonStatus()).listeners === 0 ? true : undefined,
    );
    const events = await host1.output(['sockswitch', 'events', '--json']);
    const ends = events
      .trim()
      .split('\n')
      .slice(-200)
      .filter((line) => line.includes('1 switched, 0 on'));
    expect(ends.length, 'containers that switched their connection').toBe(100);
  });
});
