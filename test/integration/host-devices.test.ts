/**
 * A published port while the device that its service is pinned to is not the one with the host's address: the service is
 * not taken for gone, and one that binds its port meanwhile is put on the other device.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeOnLab, eventually, HOST1, host1, host2 } from './support/lab.js';
import { NETWORKS } from './support/places.js';
import { type Container, startContainer } from './support/podman.js';
import { ask, listening, publish, service } from './support/published.js';

const BRIDGE = 'moved0';
/** $1: the device that gets the address; $2: the one that loses it. */
const MOVE = `
set -e
via=$(ip -o -4 route show default | sed 's/.* via \\([^ ]*\\).*/\\1/')
address=$(ip -o -4 address show dev "$2" | awk '{ print $4; exit }')
ip address del "$address" dev "$2"
[ "$1" = ${BRIDGE} ] && ip link add ${BRIDGE} type bridge && ip link set ${BRIDGE} up && ip link set "$2" master ${BRIDGE}
[ "$2" = ${BRIDGE} ] && ip link del ${BRIDGE}
ip address add "$address" dev "$1"
ip route add default via "$via" dev "$1"`;

describeOnLab('a published port whose device loses its address', () => {
  let device: string;
  const move = async (to: string, from: string) => {
    const { status, stderr } = await host1.sh(MOVE, [to, from], { root: true });
    expect(status, stderr).toBe(0);
  };
  const outside = (port: number) => ask(host2, 'tcp', HOST1.v4, port);
  const answers = (port: number) =>
    eventually(`an answer on port ${port}`, async () =>
      (await outside(port)).startsWith('10.77.0.12') ? true : undefined,
    );

  beforeAll(async () => {
    const route = await host1.output(['ip', '-o', '-4', 'route', 'show', 'default']);
    device = / dev (\S+)/.exec(route)?.[1] ?? '';
  });
  afterAll(async () => {
    const { stdout } = await host1.sh(`ip link show ${BRIDGE}`, [], { root: true });
    if (stdout !== '') await move(device, BRIDGE);
  });

  const serve = async (network: string, port: number): Promise<Container> => {
    const annotations = publish(`${port}:80`);
    const command = service('tcp', '0.0.0.0', '80');
    const container = await startContainer({ network, annotations, command });
    await listening(container);
    return container;
  };

  test('is served again when the device has it back, on every network', async () => {
    const before = await Promise.all(NETWORKS.map((network, n) => serve(network, 8551 + n)));
    for (const n of NETWORKS.keys()) await answers(8551 + n);
    await move(BRIDGE, device);
    for (const [n, container] of before.entries()) {
      // These made the relay take it for gone.
      expect(await ask(host1, 'tcp', '127.0.0.1', 8551 + n)).toMatch(/Error$|^closed$/);
      expect(await ask(container, 'tcp', '127.0.0.1', 80)).toMatch(/Error$|^closed$/);
    }
    const meanwhile = await serve('pasta', 8555);
    await answers(8555);
    expect(await ask(meanwhile, 'tcp', '127.0.0.1', 80)).toBe('127.0.0.1');
    await move(device, BRIDGE);
    for (const [n, container] of before.entries()) {
      await answers(8551 + n);
      expect(await ask(host1, 'tcp', '127.0.0.1', 8551 + n)).toBe(HOST1.v4);
      expect(await ask(container, 'tcp', '127.0.0.1', 80)).toBe('127.0.0.1');
    }
  });
});
