/**
 * As whom the clients of the relay are seen: never as a loopback address, which services trust. Where a container has no other one
 * nothing is relayed to it. The IPv4 and the IPv6 socket of a service do not take each other's clients away.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { describeOnLab, eventually, HOST1, HOST2, host1, host2, remote } from './support/lab.js';
import { NETWORKS } from './support/places.js';
import { eventuallyCounters, startContainer } from './support/podman.js';
import { addressOf, ask, listening, publish } from './support/published.js';

const SERVICE = readFileSync(new URL('./probes/service.py', import.meta.url), 'utf8');

/** As nginx has it by `listen 80; listen [::]:80 ipv6only=on`, in either order. */
const both = (first: string, second: string, port: number): string[] => [
  'bash',
  '-c',
  `python3 -c "$1" tcp ${first} ${port} v6only & sleep 0.5; python3 -c "$1" tcp ${second} ${port} v6only`,
  'bash',
  SERVICE,
];

describeOnLab('clients of published ports are seen', () => {
  describe.each([
    ['0.0.0.0', '::', 8481],
    ['::', '0.0.0.0', 8482],
  ])('by a service on %s and then %s', (first, second, port) => {
    test("with their own addresses, those on the host with the host's, on a network without IPv6", async () => {
      // On IPv4 addresses of the host only: the IPv6 socket stays one of the container.
      const container = await startContainer({
        network: 'bridge',
        annotations: publish(`0.0.0.0:${port}:80`),
        command: both(first, second, 80),
      });
      await listening(container, 2);
      expect(await ask(remote, 'tcp', HOST1.v4, port)).toMatch(/^10\.77\.0\.1(00)?$/);
      expect(await ask(host1, 'tcp', '127.0.0.1', port)).toBe(HOST1.v4);
      expect(await ask(container, 'tcp', '127.0.0.1', 80)).toBe('127.0.0.1');
      const own = await addressOf(container);
      expect(await ask(container, 'tcp', own, 80)).toBe(own);
      // This one is the container's own.
      expect(await ask(container, 'tcp', '::1', 80)).toBe('::1');
    });
  });

  test.each(NETWORKS)(
    'by the IPv4 and the IPv6 socket that net.ipv6.bindv6only=1 keeps apart, on %s',
    async (network) => {
      // Neither program says IPV6_V6ONLY.
      const socat = (kind: string) =>
        `socat ${kind}-LISTEN:80,fork,backlog=5 SYSTEM:'echo $SOCAT_PEERADDR' & `;
      const container = await startContainer({
        network,
        annotations: publish('8487:80'),
        args: ['--sysctl', 'net.ipv6.bindv6only=1'],
        command: ['bash', '-c', `${socat('TCP6')}sleep 0.5; ${socat('TCP4')}wait -n`],
      });
      await eventually('both sockets', async () =>
        (await container.counters())?.switched === 2 ? true : undefined,
      );
      const seen = (address: string) => ask(host2, 'tcp', address, 8487);
      // As socat writes it.
      expect(await seen(HOST1.v6)).toBe('[fd77:0000:0000:0000:0000:0000:0000:0012]');
      expect(await seen(HOST1.v4)).toBe(HOST2.v4);
      await container.remove();
    },
  );

  test.each(['udp', 'tcp'] as const)(
    'by %s, with the address of a container whose network leads nowhere',
    async (kind) => {
      const container = await startContainer({
        annotations: publish(kind === 'udp' ? '8483:83/udp' : '127.0.0.1:8484:83'),
        args: ['--cap-add=NET_ADMIN'],
        command: [
          'sh',
          '-c',
          `ip -4 route flush default; exec python3 -c "$0" ${kind} 0.0.0.0 83`,
          SERVICE,
        ],
      });
      await listening(container);
      const listed = await container.output(['ip', '-4', 'address', 'show', 'scope', 'global']);
      const own = /inet ([\d.]+)/.exec(listed)?.[1];
      const seen =
        kind === 'udp'
          ? (await ask(remote, 'udp', HOST1.v4, 8483)).split(' ')[0]
          : await ask(host1, 'tcp', '127.0.0.1', 8484);
      expect(seen).toBe(own);
    },
  );

  test('not at all by a container that has no address', async () => {
    const container = await startContainer({
      annotations: publish('8485:85/udp 127.0.0.1:8486:86'),
      args: ['--cap-add=NET_ADMIN'],
      command: [
        'bash',
        '-c',
        'ip address flush dev eth0; python3 -c "$1" udp 0.0.0.0 85 & exec python3 -c "$1" tcp 0.0.0.0 86',
        'bash',
        SERVICE,
      ],
    });
    await listening(container, 2);
    expect(await ask(remote, 'udp', HOST1.v4, 8485)).toBe('TimeoutError');
    expect(await ask(host1, 'tcp', '127.0.0.1', 8486)).toBe('ConnectionRefusedError');
    const { reasons } = await eventuallyCounters(container, () => true);
    expect(reasons).toMatchObject({ 'published-unreachable': 1 });
    // Inside, both are there.
    expect(await ask(container, 'udp', '127.0.0.1', 85)).toBe('127.0.0.1 1');
    expect(await ask(container, 'tcp', '127.0.0.1', 86)).toBe('127.0.0.1');
  });
});
