/**
 * What once was reached with acceleration only, or otherwise: one test for each. The matrix (matrix.test.ts) varies them;
 * here each also says what the container reaches without acceleration, which is what it must reach with it.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeOnLab, FAR, host1, REMOTE } from '../../integration/support/lab.js';
import { RUNTIMES } from '../../integration/support/places.js';
import {
  ENABLED,
  eventuallyCounters,
  podmanRun,
  startContainer,
} from '../../integration/support/podman.js';
import { SECOND } from './destinations.js';
import { example } from './examples.js';
import { expectEqualReach } from './expect.js';
import { clearReachStage, setReachStage } from './stage.js';
import type { Reach } from './twins.js';

const NOBODY: readonly string[] = [];

/** Where nothing outside was reached at all. */
function expectNothingOutside(plain: Reach): void {
  const outside = Object.entries(plain).filter(([label]) => /(far|lan)/.test(label));
  expect(outside.length).toBeGreaterThan(10);
  expect(outside.flatMap(([, outcomes]) => outcomes)).toEqual(NOBODY);
}

describeOnLab('with acceleration as without', () => {
  beforeAll(setReachStage);
  afterAll(clearReachStage);

  describe.each(RUNTIMES)('%s', (runtime) => {
    describe('the first process makes a namespace with a default route of its own and reaches nobody', () => {
      test.each(['none', 'internal', 'pasta', 'slirp4netns', 'bridge'])(
        'on %s',
        async (network) => {
          const own = 'a veth pair in a namespace of its own';
          const { plain } = await expectEqualReach(
            example(network, own, { runtime, client: 'first', rights: 'bare' }),
          );
          expectNothingOutside(plain);
        },
      );
    });

    test('on none, root gives itself a bridge and a default route: nobody is reached', async () => {
      const { plain } = await expectEqualReach(example('none', 'a bridge', { runtime }));
      expectNothingOutside(plain);
    });

    describe('on an internal network, root gives itself a default route: nobody outside is reached', () => {
      const through = (id: string, inside: string) =>
        ({ id, family: 'routes', needs: 'admin', inside }) as const;
      test.each([
        through('through the network’s gateway', 'ip route add default via 10.101.1.1'),
        through('through a neighbour', 'ip route add default via 10.101.1.20'),
        through('on the link', 'ip route add default dev "$dev"'),
        through(
          'through a device of its own',
          `ip link add own0 type bridge; ip address add 10.9.9.2/24 dev own0; ip link set own0 up
ip route add default via 10.9.9.1`,
        ),
      ])('$id', async (change) => {
        const { plain } = await expectEqualReach(example('internal', change, { runtime }));
        expect(plain['1 near-1'], 'the neighbour').toEqual(['near-1/10.101.1.20<self']);
        expectNothingOutside(plain);
      });
    });

    test('all traffic goes through a gateway container that does not forward: nobody outside is reached', async () => {
      const network = 'gateway container that does not forward';
      expectNothingOutside(
        (await expectEqualReach(example(network, undefined, { runtime }))).plain,
      );
    });

    test('all traffic goes through a gateway container that forwards: far is reached', async () => {
      const network = 'gateway container that forwards';
      const { plain, switched } = await expectEqualReach(example(network, undefined, { runtime }));
      expect(plain['1 far']).toEqual([`remote/${FAR.v4}<10.77.0.11`]);
      expect(switched ?? 0, 'connections that pass the gateway container by').toBe(0);
    });

    test('one route leads through a container that does not forward: what it covers is not reached', async () => {
      const network = 'route through a container';
      const { plain } = await expectEqualReach(example(network, undefined, { runtime }));
      expect(plain['1 far']).toEqual(NOBODY);
      expect(plain['1 lan']).toEqual([`remote/${REMOTE.v4}<10.77.0.11`]);
    });
  });

  test('pasta carries no TCP: nobody is reached', async () => {
    expectNothingOutside((await expectEqualReach(example('pasta:--no-tcp'))).plain);
  });

  test.each(['pasta:--outbound,10.77.0.111', 'slirp4netns:outbound_addr=10.77.0.111'])(
    '%s: servers see that address',
    async (network) => {
      const { plain } = await expectEqualReach(example(network));

      expect(plain['1 far']).toEqual([`remote/${FAR.v4}<${SECOND.v4}`]);
    },
  );

  test.each([
    ['pasta:--map-guest-addr,192.0.2.55', 'mapped-guest', /^host\/10\.77\.0\.11</],
    ['pasta:--map-guest-addr,10.99.0.1', 'far', /^host\/10\.77\.0\.11</],
    ['pasta:--map-host-loopback,192.0.2.56', 'mapped-loopback', /^host\/127\.0\.0\.1</],
    ['pasta:--map-host-loopback,10.99.0.1', 'far', /^host\/127\.0\.0\.1</],
    ['pasta:--dns-forward,192.0.2.53', 'mapped-dns', /^open$/],
    ['pasta:--dns-forward,10.99.0.1', 'far-dns', /^open$/],
    ['slirp4netns:allow_host_loopback=true', 'slirp-host', /^host\/127\.0\.0\.1</],
  ])('%s: %s is answered by it', async (network, label, answer) => {
    const { plain } = await expectEqualReach(example(network));
    expect(plain[`1 ${label}`]).toEqual([expect.stringMatching(answer)]);
  });

  test('a rule for one user: another reaches far, this one does not', async () => {
    const { plain } = await expectEqualReach(example('pasta', 'uidrange'));
    expect(plain['1 far'], 'root').not.toEqual(NOBODY);
    expect(plain['1 far-user'], 'user 1000').toEqual(NOBODY);
  });

  test.each(['nft output, far', 'nft postrouting', 'iptables-legacy', 'iptables-nft'])(
    'a firewall of the container forbids far: %s',
    async (firewall) => {
      for (const moment of ['before', 'after'] as const) {
        const { plain } = await expectEqualReach(example('pasta', firewall, { moment }));
        expect(plain[moment === 'before' ? '1 far' : '2 far'], moment).toEqual(NOBODY);
      }
    },
  );

  test.each(['daemon', 'keeper'] as const)(
    'the default route moves to a VPN that is down, then the %s is restarted: nobody is reached',
    async (restart) => {
      const vpn = 'a tun, as of a VPN that is down';
      const { plain } = await expectEqualReach(example('pasta', vpn, { moment: 'after', restart }));
      expect(plain['1 far'], 'before').toEqual([`remote/${FAR.v4}<10.77.0.11`]);
      expect(plain['2 far'], 'after').toEqual(NOBODY);
      expect(plain['2 far6'], 'after').toEqual(NOBODY);
    },
  );

  test('the network of a container whose VPN is down: nobody outside is reached', async () => {
    const { plain } = await expectEqualReach(example('container: (VPN that is down)'));
    expect(plain['1 far']).toEqual(NOBODY);
    expect(plain['1 far6']).toEqual(NOBODY);
  });

  test.each(['slirp4netns:cidr=10.77.0.0/24', 'slirp4netns:cidr=10.99.0.0/24'])(
    '%s, which is a network outside, too: that one is reached as slirp4netns has it',
    async (network) => {
      await expectEqualReach(example(network));
    },
  );

  test('a port is published on a container without a network: refused', async () => {
    const port = '18190';
    const script = `ss --no-header --tcp --listening 'sport = :${port}'`;
    const start = await podmanRun({
      network: 'none',
      annotations: { ...ENABLED, 'sockswitch/publish': `${port}:80` },
      command: ['sleep', '1'],
    });
    expect(start.status).not.toBe(0);
    expect(start.stderr).toContain('sockswitch/publish');
    expect(await host1.output(['sh', '-c', script])).toBe('');
  });

  test('a port is published on an internal network: relayed, as with -p, and no socket of the host is given', async () => {
    const service = await startContainer({
      network: 'reach-inner',
      annotations: { ...ENABLED, 'sockswitch/publish': '18191:80' },
      command: ['nginx', '-g', 'daemon off;'],
    });
    try {
      const page = await host1.output([
        'sh',
        '-c',
        'for try in $(seq 50); do curl -sf -m 2 http://10.77.0.11:18191/ && exit; sleep 0.1; done',
      ]);
      expect(page).toContain('nginx');
      const { reasons } = await eventuallyCounters(service, ({ fallback }) => fallback > 0);
      expect(reasons).toMatchObject({ 'published-relayed': expect.any(Number) });
      expect(reasons).not.toHaveProperty('published');
    } finally {
      await service.remove();
    }
  });
});
