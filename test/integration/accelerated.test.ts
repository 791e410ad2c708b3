/** What is switched, on every network and with every runtime; and that nothing is without the annotation. */
import { describe, expect, test } from 'vitest';
import { describeOnLab, FAR, REMOTE } from './support/lab.js';
import {
  compare,
  countersOf,
  describeMatrix,
  expectAlike,
  expectWent,
  type Pair,
} from './support/matrix.js';
import { MATRIX } from './support/places.js';
import { ENABLED, eventuallyCounters, hasIpv6, startContainer } from './support/podman.js';
import { curl } from './support/programs.js';
import { record, type Verdict } from './support/results.js';

/** Gets the page in both; behind pasta and slirp4netns the address that remote sees is the host's anyway. */
async function fetches(pair: Pair, address: string): Promise<Verdict> {
  const comparison = await compare(pair, curl(address, '/ip'));
  expect(comparison.accelerated.status).toBe(0);
  expectAlike(comparison);
  expectWent(comparison.moved, 'accelerated');
  return 'accelerated';
}

async function fetchesV6(pair: Pair, address: string): Promise<Verdict> {
  if (await hasIpv6(pair)) return fetches(pair, address);
  const comparison = await compare(pair, curl(address, '/ip'));
  expect(comparison.accelerated.status).not.toBe(0);
  expectAlike(comparison, withoutTimes);
  expectWent(comparison.moved, 'fallback');
  return 'not-offered';
}

const withoutTimes = (text: string) => text.replace(/after \d+ ms/, 'after N ms');

describeMatrix('accelerated', [
  { id: 'tcp-lan-v4', check: (pair) => fetches(pair, REMOTE.v4) },
  { id: 'tcp-lan-v6', check: (pair) => fetchesV6(pair, REMOTE.v6) },
  { id: 'tcp-far-v4', check: (pair) => fetches(pair, FAR.v4) },
  { id: 'tcp-far-v6', check: (pair) => fetchesV6(pair, FAR.v6) },
]);

describeOnLab('of the own process of a container', () => {
  describe.each(MATRIX)('$network with $runtime', (place) => {
    const command = ['sh', '-c', `${curl(REMOTE.v4, '/ip').join(' ')}; exec sleep infinity`];

    test('a connection is switched', async () => {
      const container = await startContainer({ ...place, annotations: ENABLED, command });
      await eventuallyCounters(container, ({ switched }) => switched > 0);
      expect((await container.logs()).stdout).toMatch(/^[\da-f.:]+\n$/);
      await container.remove();
      record({ behaviour: 'tcp-own-process', ...place, verdict: 'accelerated' });
    });

    test('nothing is touched without the annotation', async () => {
      const witness = await startContainer({ ...place, annotations: ENABLED });
      const before = await countersOf(witness);
      const container = await startContainer({ ...place });
      expect((await container.exec(curl(REMOTE.v4, '/ip'))).status).toBe(0);
      expect(await container.counters()).toBeUndefined();
      expect(await countersOf(witness)).toEqual(before);
      const seccomp = await container.output(['grep', 'Seccomp:', '/proc/self/status']);
      expect(seccomp).toBe('Seccomp:\t2\n'); // Podman's own filter, and no listener:
      const spec = await container.host.output(['podman', 'inspect', container.id]);
      expect(spec).not.toContain('listener.sock');
      await container.remove();
      await witness.remove();
    });
  });
});
