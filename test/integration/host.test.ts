/**
 * The host seen from a container: whether a server there is reached, and as whom, is the fallback network's
 * to decide. With and without acceleration it must be the same.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeOnLab, HOST1, host1, listens } from './support/lab.js';
import { compare, expectAlike, type Pair, startPair } from './support/matrix.js';
import { MATRIX, RUNTIMES } from './support/places.js';
import { hasIpv6 } from './support/podman.js';
import { record } from './support/results.js';

const ANY_PORT = 8870;
const LOOPBACK_PORT = 8871;

/** An address that the host's firewall leads to the host's own, as Kubernetes does with those of services. */
const TRANSLATED = '10.99.0.1';
const TRANSLATION = `table ip translation {
  chain output {
    type nat hook output priority -100;
    ip daddr ${TRANSLATED} tcp dport 80 dnat to ${HOST1.v4}:${ANY_PORT}
  }
}`;

const status = (url: string) => [
  ...['curl', '-gs', '--max-time', '20', '-o', '/dev/null', '-w', '%{http_code} %{exitcode}', url],
];

describeOnLab('the host', () => {
  beforeAll(async () => {
    const serve = async (port: number, address: string) => {
      const argv = ['python3', '-m', 'http.server', '--directory', '/var/empty', '--bind', address];
      await host1.output(['mkdir', '-p', '/var/empty'], { root: true });
      await host1.serve([...argv, String(port)], listens(port));
    };
    await serve(ANY_PORT, '::');
    await serve(LOOPBACK_PORT, '127.0.0.1');
  });
  afterAll(() => host1.stopServers());

  describe.each(MATRIX)('$network with $runtime', (place) => {
    let pair: Pair;
    beforeAll(async () => {
      pair = await startPair(place);
    });

    /** Whether the URL is answered; asserts that both containers agree and nothing was switched. */
    async function reached(url: string): Promise<boolean> {
      const comparison = await compare(pair, status(url));
      expectAlike(comparison);
      expect(comparison.moved.switched, url).toBe(0);
      return comparison.accelerated.stdout === '200 0';
    }

    test('host.containers.internal and the addresses of the host', async () => {
      const byName = await reached(`http://host.containers.internal:${ANY_PORT}/`);
      await reached(`http://${HOST1.v4}:${ANY_PORT}/`);
      if (await hasIpv6(pair)) await reached(`http://[${HOST1.v6}]:${ANY_PORT}/`);
      const verdict = byName ? 'fallback' : 'not-offered';
      record({ behaviour: 'host-internal', ...place, verdict });
    });

    test('an address that a firewall of the host leads to the host', async () => {
      await host1.output(['nft', TRANSLATION], { root: true });
      try {
        const comparison = await compare(pair, status(`http://${TRANSLATED}/`));
        expect(comparison.plain.stdout).toBe('200 0');
        expect(comparison.accelerated.stdout).toBe('200 0');
      } finally {
        await host1.output(['nft', 'delete table ip translation'], { root: true });
      }
    });

    test("the host's loopback, by every address that may lead there", async () => {
      const names = [
        'host.containers.internal',
        HOST1.v4,
        '127.0.0.1',
        '0.0.0.0',
        '[::ffff:127.0.0.1]',
      ];
      const answers: boolean[] = [];
      for (const name of names) answers.push(await reached(`http://${name}:${LOOPBACK_PORT}/`));
      // To fallback networks the gateway may be the host (10.0.2.2; pasta's --map-gw).
      const gateway = await pair.plain.sh("ip route | awk '/^default/ { print $3 }'");
      answers.push(await reached(`http://${gateway.stdout.trim()}:${LOOPBACK_PORT}/`));
      const verdict = answers.includes(true) ? 'fallback' : 'not-offered';
      record({ behaviour: 'host-loopback', ...place, verdict });
    });
  });

  describe.each(RUNTIMES)('that opens its loopback, with %s', (runtime) => {
    test.each([
      ['pasta:--map-gw', 'http://10.77.0.1'],
      ['slirp4netns:allow_host_loopback=true', 'http://10.0.2.2'],
    ])('%s', async (network, url) => {
      const pair = await startPair({ network, runtime });
      const comparison = await compare(pair, status(`${url}:${LOOPBACK_PORT}/`));
      expectAlike(comparison);
      expect(comparison.accelerated.stdout).toBe('200 0');
      expect(comparison.moved.switched).toBe(0);
      await pair.plain.remove();
      await pair.accelerated.remove();
    });
  });
});
