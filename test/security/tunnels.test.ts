/**
 * Tunnels (docs/tunnels.md) under attack and in trouble, at length: test/integration/tunnels.test.ts and tunnel-outages.test.ts have
 * the short form.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  describeOnLab,
  eventually,
  HOST1,
  HOST2,
  host1,
  host2,
} from '../integration/support/lab.js';
import { type Container, ENABLED, startContainer } from '../integration/support/podman.js';
import {
  carried,
  killDaemons,
  type Node,
  removeNodes,
  startNodes,
  tunnelsOf,
} from '../integration/support/tunnels.js';

const KILLS = 20;

/** A plain VXLAN of a network of its own, by one UDP port. */
async function addTunnel(near: Container, far: Container, port: number): Promise<string> {
  const net = port % 256;
  const ends = [
    { container: near, own: 1, peer: HOST2.v4 },
    { container: far, own: 2, peer: HOST1.v4 },
  ];
  for (const { container, own, peer } of ends) {
    const script = `
ip link add vx${port} type vxlan id ${port} dstport ${port} remote ${peer} nolearning
ip address add 192.168.${net}.${own}/24 dev vx${port}
ip link set vx${port} mtu 1400 up`;
    await container.output(['sh', '-e', '-c', script]);
  }
  return `192.168.${net}.2`;
}

async function startPair(ports: readonly number[]): Promise<readonly [Container, Container]> {
  const publish = ports.map((port) => `--publish=${port}:${port}/udp`);
  const options = { annotations: ENABLED, args: ['--cap-add=NET_ADMIN', ...publish] };
  const near = await startContainer({ ...options, host: host1 });
  return [near, await startContainer({ ...options, host: host2 })];
}

describeOnLab('several tunnels', () => {
  test('two on one container, and a second container on another port', async () => {
    const pairs = [
      { ports: [4789, 8472], pair: await startPair([4789, 8472]) },
      { ports: [4790], pair: await startPair([4790]) },
    ];
    for (const { ports, pair } of pairs) {
      for (const port of ports) {
        const far = await addTunnel(...pair, port);
        const ping = await pair[0].exec(['ping', '-q', '-c', '1', '-w', '30', far]);
        expect(ping.status, ping.stdout).toBe(0);
      }
    }
    for (const { ports, pair } of pairs) {
      for (const container of pair) {
        await eventually('all are carried', async () =>
          (await tunnelsOf(container))?.up === ports.length ? true : undefined,
        );
      }
      const [near] = pair;
      for (const port of ports) {
        const before = (await tunnelsOf(near))?.sentBytes ?? 0;
        const ping = [
          'ping',
          '-q',
          '-c',
          '5',
          '-i',
          '0.2',
          '-s',
          '1000',
          `192.168.${port % 256}.2`,
        ];
        expect((await near.exec(ping)).status).toBe(0);
        await eventually('it goes by the underlay', async () =>
          ((await tunnelsOf(near))?.sentBytes ?? 0) > before + 5_000 ? true : undefined,
        );
      }
    }
    for (const { pair } of pairs) for (const container of pair) await container.remove();
  });
});

describeOnLab('tunnels', () => {
  let nodes: readonly [Node, Node];
  beforeAll(async () => {
    nodes = await startNodes();
    await carried(nodes[0]);
    await carried(nodes[1]);
  });
  afterAll(() => removeNodes(nodes));

  test(
    `${KILLS} daemons that are killed under load lose no connection`,
    {
      timeout: 900_000,
    },
    () => killDaemons(nodes, KILLS),
  );
});
