/**
 * A VXLAN between a container on host1 and one on host2, as multi-node Kubernetes has it. The kernel sends its
 * packets, so no system call can be switched: they are carried past the fallback networks (tunnels.test.ts has the details).
 */
import { afterAll, describe, expect, test } from 'vitest';
import { describeOnLab, eventually, HOST1, HOST2, host1, host2 } from './support/lab.js';
import { MATRIX, type Place } from './support/places.js';
import { type Container, ENABLED, startContainer } from './support/podman.js';
import { record } from './support/results.js';
import { type Tunnels, tunnelsOf } from './support/tunnels.js';

interface Ends {
  readonly near: Container;
  readonly far: Container;
}

async function start(place: Place, annotations: Readonly<Record<string, string>>): Promise<Ends> {
  const args = ['--cap-add=NET_ADMIN', '--publish', '8472:8472/udp'];
  const near = await startContainer({ ...place, annotations, args, host: host1 });
  const far = await startContainer({ ...place, annotations, args, host: host2 });
  await makeTunnel(near, '192.168.42.1', HOST2.v4);
  await makeTunnel(far, '192.168.42.2', HOST1.v4);
  return { near, far };
}

// Without learning: user-mode networks may show another sender than the peer's address.
async function makeTunnel(container: Container, address: string, peer: string): Promise<void> {
  const script = `
set -e
ip link add vxlan0 type vxlan id 42 dstport 8472 remote "$2" nolearning
ip address add "$1/24" dev vxlan0
ip link set vxlan0 mtu 1400 up`;
  await container.output(['bash', '-c', script, 'bash', address, peer]);
}

async function passes({ near, far }: Ends): Promise<void> {
  const ping = await near.exec(['ping', '-q', '-c', '1', '-w', '60', '192.168.42.2']);
  expect(ping.status, ping.stdout).toBe(0);
  await far.serve('exec iperf3 --server', '[ -n "$(ss -Hltn \'sport = :5201\')" ]');
  const command = ['iperf3', '--client', '192.168.42.2', '--bytes', '4M', '--json'];
  const iperf = await near.exec(command);
  expect(iperf.status, iperf.stdout).toBe(0);
  expect(iperf.stdout).toMatch(/"sum_received"/);
}

/** Waits until the container's only peer is carried. */
function up(container: Container): Promise<Tunnels> {
  return eventually(`the tunnel of ${container.name} is carried`, async () => {
    const summary = await tunnelsOf(container);
    return summary?.up === 1 ? summary : undefined;
  });
}

describeOnLab('VXLAN', () => {
  describe.each(MATRIX)('$network with $runtime', (place) => {
    let ends: Ends | undefined;
    afterAll(async () => {
      await ends?.near.remove();
      await ends?.far.remove();
    });

    test('without the annotation', async () => {
      ends = await start(place, {});
      await passes(ends);
      await ends.near.remove();
      await ends.far.remove();
    });

    test('with the annotation', async () => {
      ends = await start(place, ENABLED);
      const { near, far } = ends;
      await up(near);
      await up(far);
      await passes(ends);
      const counters = await near.counters();
      expect(counters).toMatchObject({ switched: 0 });
      // iperf3's two TCP connections, into the tunnel.
      expect(counters?.reasons['not-uplink']).toBe(2);
      expect((await up(near)).sentBytes).toBeGreaterThan(4 * 1024 * 1024);
      record({ behaviour: 'vxlan', ...place, verdict: 'accelerated' });
    });
  });
});
