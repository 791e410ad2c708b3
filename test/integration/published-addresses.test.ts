/**
 * As whom the clients of the relay are seen: never as a loopback address, which services trust. Where a container has no other one
 * nothing is relayed to it. The IPv4 and the IPv6 socket of a service do not take each other's clients away.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { describeOnLab, HOST1, host1, remote } from './support/lab.js';
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
    test("with their own addresses, or the host's, on a network without IPv6", async () => {
      // On IPv4 addresses of the host only: the IPv6 socket stays one of the container.
      const container = await startContainer({
        network: 'bridge',
        annotations: publish(`0.0.0.0:${port}:80`),
        command: both(first, second, 80),
      });
      await listening(container, 2);
      expect(await ask(remote, 'tcp', HOST1.v4, port)).toMatch(/^10\.77\.0\.1(00)?$/);
      expect(await ask(host1, 'tcp', '127.0.0.1', port)).toBe(HOST1.v4);
      expect(await ask(container, 'tcp', '127.0.0.1', 80)).toBe(HOST1.v4);
      expect(await ask(container, 'tcp', await addressOf(container), 80)).toBe(HOST1.v4);
      // This one is the container's own.
      expect(await ask(container, 'tcp', '::1', 80)).toBe('::1');
    });
  });

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
