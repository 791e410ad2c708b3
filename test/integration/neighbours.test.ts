/** Containers of one bridge network reach each other, by address and by name, and stay on that network. */
import { beforeAll, describe, expect, test } from 'vitest';
import { describeOnLab } from './support/lab.js';
import { compare, expectAlike, expectWent, type Pair, startPair } from './support/matrix.js';
import { NETWORKS, RUNTIMES } from './support/places.js';
import { type Container, ENABLED, startContainer } from './support/podman.js';
import { curl } from './support/programs.js';
import { record } from './support/results.js';

const READY = 'curl -s -o /dev/null http://127.0.0.1:8000/';

describeOnLab('neighbours', () => {
  describe.each(RUNTIMES)('on the bridge with %s', (runtime) => {
    const place = { network: 'bridge', runtime } as const;
    let pair: Pair;
    let server: Container;

    beforeAll(async () => {
      pair = await startPair(place);
      // Accelerated, too: both ends must agree to stay on their network.
      server = await startContainer({ ...place, annotations: ENABLED });
      await server.serve('cd /srv && exec python3 -m http.server 8000', READY);
    });

    test('by address', async () => {
      const route = await server.output(['ip', '-4', '-o', 'address', 'show', 'dev', 'eth0']);
      const address = /inet ([\d.]+)/.exec(route)?.[1] ?? '';
      const comparison = await compare(pair, curl(address, '/', 8000));
      expectAlike(comparison);
      expect(comparison.accelerated.status).toBe(0);
      expectWent(comparison.moved, 'fallback');
      expect(comparison.moved.reasons).toEqual({ 'podman-network': 1 });
      record({ behaviour: 'neighbour', ...place, verdict: 'fallback' });
    });

    test('by name', async () => {
      const comparison = await compare(pair, curl(server.name, '/', 8000));
      expectAlike(comparison);
      expect(comparison.accelerated.status).toBe(0);
      expectWent(comparison.moved, 'fallback');
      const unknown = await compare(pair, ['getent', 'hosts', 'no-such-neighbour']);
      expectAlike(unknown);
      expect(unknown.accelerated.status).toBe(2);
      record({ behaviour: 'dns-aardvark', ...place, verdict: 'fallback' });
    });
  });

  // pasta and slirp4netns give every container a network of its own: there are no neighbours.
  test.each(NETWORKS.filter((network) => network !== 'bridge'))('%s has none', (network) => {
    for (const runtime of RUNTIMES) {
      for (const behaviour of ['neighbour', 'dns-aardvark']) {
        record({ behaviour, network, runtime, verdict: 'not-offered' });
      }
    }
  });
});
