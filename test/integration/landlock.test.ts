/**
 * A program that has restricted itself by Landlock (landlock(7)): the kernel's check sees only the calls that the program itself
 * makes, so none is made for it. Beside it, programs that cannot be restricted are accelerated as before.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { killDaemon, startDaemon } from './support/daemon.js';
import { describeOnLab, FAR, HOST1, host1, remote } from './support/lab.js';
import { RUNTIMES } from './support/places.js';
import { type Container, ENABLED, eventuallyCounters, startContainer } from './support/podman.js';
import { addressOf, ask, listening, publish, service } from './support/published.js';

const PROBE = readFileSync(new URL('./probes/landlock.py', import.meta.url), 'utf8');
/** The first version that restricts TCP: Linux 6.7. */
const WITH_TCP = 4;
const RESTRICTED = ['before ok', 'restrict ok', 'after EACCES', 'child EACCES'];

/** What the probe prints; `then` is run by a shell in the same process tree afterwards. */
async function probe(container: Container, words: string, then = 'true'): Promise<string[]> {
  const { stdout } = await container.sh(`python3 -c "$1" ${words}; ${then}`, [PROBE]);
  return stdout.trim().split('\n');
}

const CURL = `curl -s -o /dev/null -w '%{http_code}\n' http://${FAR.v4}/`;

describeOnLab('a program that restricts itself by Landlock', () => {
  let version = 0;
  beforeAll(async () => {
    const { stdout } = await host1.run(['python3', '-c', PROBE, 'abi']);
    version = Number(stdout);
  });
  afterAll(() => startDaemon());

  describe.each(RUNTIMES)('with %s', (runtime) => {
    test('is not connected by the daemon, and neither are its children', async ({ skip }) => {
      if (version < WITH_TCP)
        skip(`the kernel has Landlock ${version}, which does not restrict TCP`);
      const plain = await startContainer({ runtime });
      const accelerated = await startContainer({ runtime, annotations: ENABLED });
      const words = `connect ${FAR.v4} 80`;
      expect(await probe(plain, words, CURL)).toEqual([...RESTRICTED, '200']);
      expect(await probe(accelerated, words, CURL)).toEqual([...RESTRICTED, '200']);
      // Before, and curl, which cannot be restricted: it has not no_new_privs.
      const counts = await eventuallyCounters(accelerated, ({ switched }) => switched === 2);
      expect(counts.reasons).toMatchObject({ landlock: 2 });
    });
  });

  test('with CAP_SYS_ADMIN instead of no_new_privs: nothing of its process tree is switched any more', async ({
    skip,
  }) => {
    if (version < WITH_TCP) skip(`the kernel has Landlock ${version}, which does not restrict TCP`);
    const args = ['--cap-add=SYS_ADMIN'];
    const accelerated = await startContainer({ annotations: ENABLED, args });
    const answers = await probe(accelerated, `connect ${FAR.v4} 80 keep`, CURL);
    expect(answers).toEqual([...RESTRICTED, '200']);
    const counts = await eventuallyCounters(accelerated, ({ fallback }) => fallback === 3);
    expect(counts.switched).toBe(1);
    // Another one has not been restricted.
    expect((await accelerated.sh(CURL)).stdout).toBe('200\n');
    await eventuallyCounters(accelerated, ({ switched }) => switched === 2);
  });

  test('is known to the next daemon', async ({ skip }) => {
    if (version < WITH_TCP) skip(`the kernel has Landlock ${version}, which does not restrict TCP`);
    const then = `touch /tmp/restricted; until [ -e /tmp/go ]; do sleep 0.1; done; ${CURL}; sleep infinity`;
    const accelerated = await startContainer({
      annotations: ENABLED,
      args: ['--cap-add=SYS_ADMIN'],
      command: ['bash', '-c', `python3 -c "$1" connect ${FAR.v4} 80 keep; ${then}`, 'bash', PROBE],
    });
    const waiting = 'until [ -e /tmp/restricted ]; do sleep 0.1; done';
    await accelerated.sh(waiting);
    await killDaemon();
    await startDaemon();
    await accelerated.sh('touch /tmp/go');
    const counts = await eventuallyCounters(accelerated, ({ fallback }) => fallback === 3);
    expect(counts.switched).toBe(1);
  });

  test('binds a published port by itself, and is relayed to', async ({ skip }) => {
    if (version < WITH_TCP) skip(`the kernel has Landlock ${version}, which does not restrict TCP`);
    const accelerated = await startContainer({ annotations: publish('8471:8471') });
    expect(await probe(accelerated, 'bind 8471')).toEqual([
      'before ok',
      'restrict ok',
      'after EACCES',
    ]);
    const counts = await eventuallyCounters(accelerated, ({ fallback }) => fallback === 1);
    expect(counts.reasons).toEqual({ published: 1, landlock: 1 });
    // One that may bind it. Clients are relayed, and seen with the container's own address.
    const serving = await startContainer({
      annotations: publish('8472:8472'),
      command: ['python3', '-c', PROBE, 'exec', ...service('tcp', '0.0.0.0', '8472')],
    });
    await listening(serving);
    expect(await ask(remote, 'tcp', HOST1.v4, 8472)).toBe(await addressOf(serving));
  });
});
