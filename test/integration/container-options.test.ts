/** Ways to run a container that change its user, rights, filter or processes: accelerated all the same. */
import { afterAll, describe, expect, test } from 'vitest';
import { describeOnLab, host1, REMOTE } from './support/lab.js';
import { countersOf } from './support/matrix.js';
import { RUNTIMES } from './support/places.js';
import { type Container, ENABLED, eventuallyCounters, startContainer } from './support/podman.js';

const URL = `http://${REMOTE.v4}/`;
const PAGE = 'hello from remote\n';
const FETCH = {
  'localhost/lab': ['curl', '-sS', '--max-time', '60', URL],
  'localhost/tiny': ['wget', '-q', '-T', '60', '-O', '-', URL],
} as const;

/** A container whose own process fetches the page, then stays. */
function start(
  runtime: 'crun' | 'runc',
  args: readonly string[],
  image: keyof typeof FETCH = 'localhost/lab',
): Promise<Container> {
  const command = ['sh', '-c', `${FETCH[image].join(' ')}; exec sleep infinity`];
  return startContainer({ runtime, image, args, annotations: ENABLED, command });
}

/** Its own process and an exec reached remote, both switched. */
async function expectAccelerated(
  container: Container,
  image: keyof typeof FETCH = 'localhost/lab',
): Promise<void> {
  await eventuallyCounters(container, ({ switched }) => switched === 1);
  expect((await container.logs()).stdout).toBe(PAGE);
  const page = await container.exec(FETCH[image]);
  expect(page).toMatchObject({ status: 0, stdout: PAGE });
  expect(await countersOf(container)).toMatchObject({ switched: 2 });
}

describeOnLab('podman run', () => {
  describe.each(RUNTIMES)('with %s and', (runtime) => {
    test.each([
      ['nothing more', []],
      ['--init', ['--init']],
      ['--user 999', ['--user', '999']],
      ['--read-only', ['--read-only']],
      ['--cap-drop=all', ['--cap-drop=all']],
      ['no-new-privileges', ['--security-opt', 'no-new-privileges']],
      ['an unconfined seccomp profile', ['--security-opt', 'seccomp=unconfined']],
      ['--privileged', ['--privileged']],
      ['--pid=host', ['--pid=host']],
      ['all of the strict ones', ['--user=999', '--read-only', '--cap-drop=all', '--init']],
    ] as const)('%s', async (_, args) => {
      const container = await start(runtime, args);
      await expectAccelerated(container);
      await container.remove();
    });

    // These copy the image, so it is the small one.
    test.each(['keep-id', 'auto', 'nomap'])('--userns=%s', async (mode) => {
      const container = await start(runtime, [`--userns=${mode}`], 'localhost/tiny');
      await expectAccelerated(container, 'localhost/tiny');
      await container.remove();
    });

    test('exec with another user and rights', async () => {
      const container = await start(runtime, []);
      await eventuallyCounters(container, ({ switched }) => switched === 1);
      for (const args of [['--user', '999'], ['--privileged'], ['--workdir', '/tmp', '--tty']]) {
        const page = await container.exec(FETCH['localhost/lab'], { args });
        expect(page.status, page.stderr).toBe(0);
      }
      expect(await countersOf(container)).toMatchObject({ switched: 4 });
      await container.remove();
    });

    test('podman restart, stop and start', async () => {
      const container = await start(runtime, []);
      await expectAccelerated(container);
      await host1.output(['podman', 'restart', '--time', '0', container.id]);
      // A new life with new counts.
      await eventuallyCounters(container, ({ switched }) => switched === 1);
      await host1.output(['podman', 'stop', '--time', '0', container.id]);
      expect(await container.counters()).toBeUndefined();
      await host1.output(['podman', 'start', container.id]);
      await eventuallyCounters(container, ({ switched }) => switched === 1);
      expect((await container.exec(FETCH['localhost/lab'])).stdout).toBe(PAGE);
      expect((await container.logs()).stdout).toBe(PAGE.repeat(3));
      await container.remove();
    });

    test('podman pause and unpause', async () => {
      const container = await start(runtime, []);
      await eventuallyCounters(container, ({ switched }) => switched === 1);
      await host1.output(['podman', 'pause', container.id]);
      await host1.output(['podman', 'unpause', container.id]);
      expect((await container.exec(FETCH['localhost/lab'])).stdout).toBe(PAGE);
      await container.remove();
    });
  });

  describe.each(RUNTIMES)('in a pod, with %s', (runtime) => {
    const pod = `test-pod-${runtime}`;
    afterAll(() => host1.run(['podman', 'pod', 'rm', '--force', '--ignore', '--time', '0', pod]));

    test('two containers, one of them accelerated', async () => {
      await host1.output(['podman', '--runtime', runtime, 'pod', 'create', '--network=pasta', pod]);
      const inPod = { runtime, args: ['--pod', pod], network: '' };
      const accelerated = await startContainer({ ...inPod, annotations: ENABLED });
      const plain = await startContainer(inPod);
      for (const container of [accelerated, plain]) {
        expect((await container.exec(FETCH['localhost/lab'])).stdout).toBe(PAGE);
      }
      expect(await countersOf(accelerated)).toMatchObject({ switched: 1 });
      expect(await plain.counters()).toBeUndefined();

      // They share a loopback, accelerated or not.
      await plain.serve('cd /srv && exec python3 -m http.server 8000', 'curl -s 127.0.0.1:8000');
      const page = await accelerated.exec(['curl', '-s', 'http://127.0.0.1:8000/']);
      expect(page.status).toBe(0);
      expect(await countersOf(accelerated)).toMatchObject({ switched: 1 });
    });
  });
});
