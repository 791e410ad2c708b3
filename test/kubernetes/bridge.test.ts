/** Two nodes on one host and one Podman network, as kind has them: between them nothing is changed. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { host1 } from '../integration/support/lab.js';
import { tunnelsOf } from '../integration/support/tunnels.js';
import {
  expectNodePortWorks,
  expectOnlyNodesSwitched,
  expectPodsWork,
  expectWayOut,
  expectWayOutSwitched,
} from './support/checks.js';
import { Cluster, describeOnClusters, MODES } from './support/cluster.js';

describeOnClusters('two nodes on one host and a bridge', () => {
  describe.each(MODES)("accelerated: $accelerated, pods' way out: $podsEgress", (mode) => {
    const { accelerated, podsEgress } = mode;
    let cluster: Cluster;
    beforeAll(async () => {
      cluster = await Cluster.start({ network: 'bridge', ...mode });
    });
    afterAll(() => cluster?.remove());

    test('pods, ClusterIP, exec, logs, deployment, node port, the way out of pods', async () => {
      await expectPodsWork(cluster);
      await expectNodePortWorks(cluster);
      await expectWayOut(cluster);
    });

    test.runIf(podsEgress)('of pods, connections to public addresses are switched', async () => {
      await expectWayOutSwitched(cluster);
    });

    test.runIf(accelerated && !podsEgress)(
      "only the nodes' own connections to outside are switched",
      async () => {
        await expectOnlyNodesSwitched(cluster);
        for (const node of cluster.nodes) {
          // Of kubelet and kube-proxy, to the API server: on the bridge.
          expect((await node.switchedTo()).filter((one) => one.endsWith(':6443'))).toEqual([]);
          expect((await tunnelsOf(node))?.up).toBe(0);
        }
        const [first, second] = cluster.nodes;
        const explain = ['sockswitch', 'explain', second.name];
        const toNode = await host1.output([...explain, `${first.address}:6443`]);
        expect(toNode).toMatch(/would go over the container's fallback network/);
        expect(await host1.output([...explain, '10.96.0.1:443'])).toContain('Rule: ignored.');
      },
    );
  });
});
