/**
 * What happens to a tunnel when the host's way to the peer goes away, and comes back: it falls back with the reason, is
 * carried again, and one TCP connection inside of the tunnel lives through all of it.
 *
 * The fallback network goes the same way, so nothing passes meanwhile.
 */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { describeOnLab, eventually, HOST1, HOST2, host1, remote } from './support/lab.js';
import {
  carried,
  fallenBack,
  Inner,
  killDaemons,
  type Node,
  PORT,
  removeNodes,
  startNodes,
} from './support/tunnels.js';

const ROOT = { root: true } as const;
const OTHER = '10.77.0.21';
const FAR_MAC = '02:00:00:00:00:01';

async function ip(...lines: readonly string[]): Promise<void> {
  await host1.output(['ip', '-batch', '-'], { ...ROOT, stdin: `${lines.join('\n')}\n` });
}

/** Of host2, so that host1 does not see it. */
async function setCable(state: 'up' | 'down'): Promise<void> {
  await remote.output(['ip', 'link', 'set', 'port2', state], ROOT);
}

/** Of the lab's host1, as `lab up` makes it; all of it may be there. */
const RESTORE = `
ip link del elsewhere
ip route del blackhole ${HOST2.v4}
ip route del unreachable ${HOST2.v4}
ip address del ${OTHER}/24 dev eth0
ip link set eth0 up
ip address replace ${HOST1.v4}/24 dev eth0
ip route replace default via 10.77.0.1
ip -6 address replace ${HOST1.v6}/64 dev eth0 nodad
ip -6 route replace default via fd77::1
exit 0`;

describeOnLab('the way to a peer of a tunnel', () => {
  let nodes: readonly [Node, Node];
  let inner: Inner;
  beforeAll(async () => {
    nodes = await startNodes();
    await carried(nodes[0]);
    await carried(nodes[1]);
    inner = await Inner.start(...nodes);
  });
  afterEach(async () => {
    await setCable('up');
    await host1.sh(RESTORE, [], ROOT);
  });
  afterAll(() => removeNodes(nodes));

  const lives = async () => {
    await carried(nodes[0]);
    await carried(nodes[1]);
    await inner.live();
  };

  test.each([
    {
      what: 'leads to another interface',
      take: [
        'link add elsewhere type bridge',
        'link set elsewhere up',
        // Packets that leave meanwhile have another source.
        'address add 198.51.100.9/32 dev elsewhere',
        `route add ${HOST2.v4}/32 dev elsewhere`,
      ],
      give: ['link del elsewhere'],
      reason: /^on-link: /,
    },
    {
      what: 'leads into a black hole',
      take: [`route add blackhole ${HOST2.v4}/32`],
      give: [`route del blackhole ${HOST2.v4}/32`],
      reason: /^no-host-route: /,
    },
    {
      what: 'is said to be unreachable',
      take: [`route add unreachable ${HOST2.v4}/32`],
      give: [`route del unreachable ${HOST2.v4}/32`],
      reason: /^no-host-route: /,
    },
    {
      what: 'is down at this end',
      take: ['link set eth0 down'],
      give: ['link set eth0 up', 'route replace default via 10.77.0.1'],
      reason: /^no-host-route: /,
    },
  ])('$what', async ({ take, give, reason }) => {
    await ip(...take);
    expect(await fallenBack(nodes[0])).toMatch(reason);
    await ip(...give);
    await lives();
  });

  test('is cut somewhere on it', async () => {
    await setCable('down');
    expect(await fallenBack(nodes[0])).toContain('timed out');
    await setCable('up');
    await lives();
  });

  test('begins at another address', async () => {
    const [near, far] = nodes;
    const peer = async (old: string, now: string) => {
      await ip(
        `address del ${old}/24 dev eth0`,
        `address add ${now}/24 dev eth0`,
        'route replace default via 10.77.0.1',
      );
      // As flannel does: a node has a new address.
      const entry = ['bridge', 'fdb', 'replace', FAR_MAC, 'dev', 'flannel.1', 'dst', now];
      await far.container.output(entry);
      const gone = `${HOST2.v4}:${PORT}: the host has no address ${old} any more`;
      await eventually('the old address is given up', async () =>
        (await host1.output(['sockswitch', 'events'])).includes(gone) ? true : undefined,
      );
      await carried(near);
      await eventually('the new address is carried', async () =>
        (await carried(far)).peers[0]?.address === now ? true : undefined,
      );
      await inner.live();
    };
    await peer(HOST1.v4, OTHER);
    await peer(OTHER, HOST1.v4);
  });

  // test/security/tunnels.test.ts does it twenty times.
  test('daemons that are killed under load lose no connection', () => killDaemons(nodes, 3));
});
