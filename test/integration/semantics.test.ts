/** What programs see of connect(2): with acceleration the same as from the kernel (--network=host). */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { describeOnLab } from './support/lab.js';
import { RUNTIMES } from './support/places.js';
import { ENABLED, podmanRun } from './support/podman.js';

/** The one difference (docs/compatibility.md, "What programs can notice"). */
const TIMED_OUT = "send_timeout | ('EINPROGRESS', 'EALREADY')";
const TIMED_OUT_ACCELERATED = "send_timeout | ('EALREADY', 'EALREADY')";

const probe = (name: string) => readFileSync(new URL(`./probes/${name}`, import.meta.url), 'utf8');

describeOnLab('the semantics of connect', () => {
  describe.each(RUNTIMES)('%s', (runtime) => {
    test('results, errors and events in the same order', async () => {
      const stdin = probe('semantics.py');
      const command = ['python3', '-'];
      const host = await podmanRun({ runtime, network: 'host', command, stdin });
      const accelerated = await podmanRun({ runtime, annotations: ENABLED, command, stdin });
      expect(host.stdout.split('\n').length).toBeGreaterThan(20);
      const expected = host.stdout.replace(TIMED_OUT, TIMED_OUT_ACCELERATED);
      expect(expected).not.toBe(host.stdout);
      expect(accelerated.stdout.split('\n')).toEqual(expected.split('\n'));
    });

    test('a call that a signal interrupts gives its result when it is restarted', async () => {
      const requests = 2000;
      const { stdout } = await podmanRun({
        runtime,
        annotations: ENABLED,
        command: ['python3', '-', String(requests)],
        stdin: probe('signals.py'),
      });
      expect(stdout.trim()).toBe(`${requests} {} True`);
    });
  });
});
