/** Containers that start while no daemon runs. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startDaemon, stopDaemon } from './support/daemon.js';
import { describeOnLab, REMOTE } from './support/lab.js';
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
