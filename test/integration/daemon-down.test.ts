/** Containers that start while no daemon runs. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startDaemon, stopDaemon } from './support/daemon.js';
import { describeOnLab, eventually, host1, REMOTE } from './support/lab.js';
import { MATRIX } from './support/places.js';
import { ENABLED, podmanRun, startContainer } from './support/podman.js';
import { curl } from './support/programs.js';
import { record } from './support/results.js';

describeOnLab('while the daemon is down', () => {
  beforeAll(() => stopDaemon());
  afterAll(() => startDaemon());

  describe.each(MATRIX)('$network with $runtime', (place) => {
    test('a container starts on its fallback network and stays there', async () => {
      const container = await startContainer({ ...place, annotations: ENABLED });
      const page = await container.exec(curl(REMOTE.v4));
      expect(page).toMatchObject({ status: 0, stdout: 'hello from remote\n' });
      record({ behaviour: 'daemon-down', ...place, verdict: 'fallback' });
      await container.remove();
    });

    test('one that requires acceleration fails, and says why', async () => {
      const annotations = { ...ENABLED, 'sockswitch/required': 'true' };
      const result = await podmanRun({ ...place, annotations, command: ['echo', 'started'] });
      expect(result.status).not.toBe(0);
      expect(result.stdout).toBe('');
      expect(result.stderr).toContain('sockswitch/required');
      expect(result.stderr).toContain('daemon');
      record({ behaviour: 'daemon-down-required', ...place, verdict: 'refused' });
    });
  });
});

describeOnLab('a container that started while the daemon was down', () => {
  const REASON = 'on its fallback network, because no daemon answered (connect: ';
  const sockswitch = (...words: string[]) => host1.run(['sockswitch', ...words]);
  const ps = async () => (await sockswitch('ps', '--no-trunc')).stdout;
  afterAll(() => startDaemon());

  test('is reported by each later daemon until it runs with acceleration', async () => {
    await stopDaemon();
    const container = await startContainer({ annotations: ENABLED });
    await startContainer({ annotations: { 'sockswitch/enable': 'false' } });
    const one = (text: string) => text.split('\n').filter((line) => line.includes(REASON));
    const report = () =>
      eventually('the report in ps', async () => {
        const lines = one(await ps()).filter((line) => line.includes(container.id));
        return lines.length > 0 ? lines : undefined;
      });
    await startDaemon();
    expect(await report()).toEqual([
      expect.stringMatching(/ unaccelerated [0-9a-f]{64}: it started at /),
    ]);
    const events = one((await sockswitch('events')).stdout).join();
    expect(events).toContain(container.id.slice(0, 12));
    for (const name of [container.name, container.id.slice(0, 12)]) {
      const explained = await sockswitch('explain', name, REMOTE.v4);
      expect(explained).toMatchObject({ status: 1, stderr: expect.stringContaining(REASON) });
    }

    await stopDaemon();
    await startDaemon();
    await report();

    await host1.output(['podman', 'restart', '--time', '0', container.name]);
    const explained = await sockswitch('explain', container.name, REMOTE.v4);
    expect(explained, explained.stderr).toMatchObject({ status: 0 });
    await stopDaemon();
    await startDaemon();
    const listed = await eventually('the container taken over', async () => {
      const text = await ps();
      return text.includes(container.name) ? text : undefined;
    });
    expect(one(listed).filter((line) => line.includes(container.id))).toEqual([]);
  });
});
