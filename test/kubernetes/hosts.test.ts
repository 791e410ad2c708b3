/** Two nodes on two hosts: what docs/kubernetes.md says of them, and the same without acceleration. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../integration/support/lab.js';
import { tunnelsOf } from '../integration/support/tunnels.js';
import {
  expectNodePortWorks,
  expectOnlyNodesSwitched,
  expectPodsWork,
  expectWayOut,
  expectWayOutSwitched,
} from './support/checks.js';
import { Cluster, describeOnClusters, MODES } from './support/cluster.js';

describeOnClusters('two nodes on two hosts', () => {
  describe.each(['slirp4netns', 'pasta'] as const)('%s', (network) => {
    describe.each(MODES)("accelerated: $accelerated, pods' way out: $podsEgress", (mode) => {
      const { accelerated, podsEgress } = mode;
      let cluster: Cluster | undefined;
      beforeAll(async () => {
        cluster = await Cluster.start({ network, ...mode });
      });
      afterAll(() => cluster?.remove());
      const get = (): Cluster => {
        if (cluster === undefined) throw new Error('no cluster was started');
        return cluster;
      };

      test('pods, ClusterIP, exec, logs, deployment', async () => {
        await expectPodsWork(get());
      });

      test('node port, and the way out of pods', async () => {
        await expectNodePortWorks(get());
        await expectWayOut(get());
      });

      test.runIf(accelerated)("the nodes' tunnel is carried", async () => {
        for (const node of get().nodes) {
          const sent = async () => {
            const tunnels = await tunnelsOf(node);
            return tunnels?.up === 1 ? tunnels.sentBytes : undefined;
          };
          const before = await eventually('the tunnel is carried', sent);
          await expectPodsWork(get());
          expect(await eventually('the tunnel is carried', sent)).toBeGreaterThan(before);
        }
      });

      test.runIf(accelerated && !podsEgress)(
        "the node's connections are switched, not those of pods",
        async () => {
          await expectOnlyNodesSwitched(get());
          // Of the second node's kubelet and kube-proxy, to the API server.
          const remotes = (await get().nodes[1].switchedTo()).filter((one) =>
            one.endsWith(':6443'),
          );
          expect(remotes.length).toBeGreaterThan(0);
        },
      );

      test.runIf(podsEgress)('of pods, connections to public addresses are switched', async () => {
        await expectWayOutSwitched(get());
      });
    });
  });
});
