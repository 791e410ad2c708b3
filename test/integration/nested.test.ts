/** Network namespaces that a privileged container makes (a Kubernetes node's pods): never switched. */
import { describe, expect, test } from 'vitest';
import { describeOnLab, REMOTE } from './support/lab.js';
import { compare, expectAlike, startPair } from './support/matrix.js';
import { MATRIX } from './support/places.js';
import { curl } from './support/programs.js';
import { record } from './support/results.js';

// As a node does for a pod: a veth, an address on each end, and the pod's way out through the node.
const MAKE_POD = `
set -e
ip netns add pod
ip link add node0 type veth peer name pod0 netns pod
ip address add 10.200.0.1/24 dev node0
ip link set node0 up
in_pod="nsenter --net=/run/netns/pod"
$in_pod ip address add 10.200.0.2/24 dev pod0
$in_pod ip link set pod0 up
$in_pod ip link set lo up
$in_pod ip route add default via 10.200.0.1
`;
// Not "ip netns exec" or "ip -n", which want to mount a sysfs and may not in a rootless container.
const IN_POD = ['nsenter', '--net=/run/netns/pod'];
const SERVER = 'cd /srv && exec python3 -m http.server';
const ready = (port: number) => `curl -s -o /dev/null http://127.0.0.1:${port}/`;

describeOnLab('nested network namespaces', () => {
  describe.each(MATRIX)('$network with $runtime', (place) => {
    test('the node reaches its pod, the pod its node', async () => {
      const pair = await startPair(place, { args: ['--privileged'] });
      for (const container of [pair.plain, pair.accelerated]) {
        await container.output(['bash', '-c', MAKE_POD]);
        await container.serve(`${SERVER} 8001`, ready(8001));
        await container.serve(
          `exec ${IN_POD.join(' ')} sh -c '${SERVER} 8000'`,
          `${IN_POD.join(' ')} ${ready(8000)}`,
        );
      }

      const toPod = await compare(pair, curl('10.200.0.2', '/', 8000));
      expectAlike(toPod);
      expect(toPod.accelerated.status).toBe(0);
      expect(toPod.moved).toMatchObject({ switched: 0, reasons: { 'not-uplink': 1 } });

      const toNode = await compare(pair, [...IN_POD, ...curl('10.200.0.1', '/', 8001)]);
      expectAlike(toNode);
      expect(toNode.accelerated.status).toBe(0);
      expect(toNode.moved).toMatchObject({ switched: 0, reasons: { 'nested-netns': 1 } });

      // The node does not translate addresses here, so the pod reaches nobody outside, and must not now.
      const outside = [...IN_POD, 'curl', '-s', '--max-time', '3', `http://${REMOTE.v4}/`];
      const toRemote = await compare(pair, outside);
      expectAlike(toRemote);
      expect(toRemote.accelerated.status).not.toBe(0);
      expect(toRemote.moved).toMatchObject({ switched: 0, reasons: { 'nested-netns': 1 } });

      // The node itself is accelerated all the same.
      const fromNode = await compare(pair, curl(REMOTE.v4));
      expectAlike(fromNode);
      expect(fromNode.moved.switched).toBe(1);
      record({ behaviour: 'nested-netns', ...place, verdict: 'fallback' });
      await pair.plain.remove();
      await pair.accelerated.remove();
    });
  });
});
