/** The annotations that turn acceleration on and off: ours, and bypass4netns's, which mean the same here. */
import { expect, test } from 'vitest';
import { describeOnLab, FAR, REMOTE } from './support/lab.js';
import { countersOf } from './support/matrix.js';
import { RUNTIMES } from './support/places.js';
import { startContainer } from './support/podman.js';
import { curl } from './support/programs.js';

describeOnLab('annotations', () => {
  test.each(RUNTIMES)("nerdctl's, as Usernetes sets them, with %s", async (runtime) => {
    const container = await startContainer({
      runtime,
      annotations: {
        'nerdctl/bypass4netns': 'true',
        'nerdctl/bypass4netns-ignore-subnets': '["10.99.0.0/16", "auto"]',
        'nerdctl/bypass4netns-ignore-bind': 'true',
      },
    });
    for (const address of [REMOTE.v4, FAR.v4]) {
      expect((await container.exec(curl(address))).stdout).toBe('hello from remote\n');
    }
    expect(await countersOf(container)).toMatchObject({ switched: 1, reasons: { ignored: 1 } });
    await container.remove();
  });

  test('ours win over theirs', async () => {
    const annotations = { 'nerdctl/bypass4netns': 'true', 'sockswitch/enable': 'false' };
    const container = await startContainer({ annotations });
    expect((await container.exec(curl(REMOTE.v4))).stdout).toBe('hello from remote\n');
    expect(await container.counters()).toBeUndefined();
    await container.remove();
  });

  test('several prefixes of both families are ignored', async () => {
    const annotations = {
      'sockswitch/enable': '1',
      'sockswitch/ignore': ' 10.99.0.0/16\n fd00::/8  192.0.2.1 ',
      'sockswitch/required': 'true',
    };
    const container = await startContainer({ annotations });
    for (const address of [REMOTE.v4, REMOTE.v6, FAR.v4]) {
      expect((await container.exec(curl(address))).stdout).toBe('hello from remote\n');
    }
    expect(await countersOf(container)).toMatchObject({ switched: 1, reasons: { ignored: 2 } });
    await container.remove();
  });
});
