/** What stops and starts while pods run: the kubelet, the daemon, a node. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { killDaemon, startDaemon, stopDaemon } from '../integration/support/daemon.js';
import { eventually, host1, host2 } from '../integration/support/lab.js';
import {
  expectNodePortWorks,
  expectOnlyNodesSwitched,
  expectPodsWork,
  expectWayOut,
  tunnelCarried,
} from './support/checks.js';
import { Cluster, type ClusterNode, describeOnClusters } from './support/cluster.js';

/** A connection from the pod server-1 to server-2, across the hosts, that is made once and never anew. */
class Pulse {
  readonly #node: ClusterNode;
  readonly #file: string;

  private constructor(node: ClusterNode, file: string) {
    this.#node = node;
    this.#file = file;
  }

  static async start(cluster: Cluster): Promise<Pulse> {
    const pod = await cluster.pod('server-2');
    const background = (script: string) => `(${script}) </dev/null >/dev/null 2>&1 &`;
    await cluster.inPod('server-2', background('sleep 100000 | nc -l -p 7777 >/tmp/pulse'));
    const source = 'while sleep 0.1; do date; done';
    const connect = `until ${source} | nc ${pod.address} 7777; do sleep 0.1; done`;
    await cluster.inPod('server-1', background(connect));
    const [, node] = cluster.nodes;
    return new Pulse(node, `/proc/${await node.pidOf(pod)}/root/tmp/pulse`);
  }

  /** Waits until data passes. Makes no connection: without a daemon that would wait. */
  async lives(): Promise<void> {
    const received = async () =>
      Number(await this.#node.output(['stat', '--format=%s', this.#file]));
    const before = await received();
    await eventually('the connection between pods lives on', async () =>
      (await received()) > before ? true : undefined,
    );
  }
}

describeOnClusters('lifecycle', () => {
  describe.each(['pasta', 'slirp4netns'] as const)('%s', (network) => {
    let cluster: Cluster;
    beforeAll(async () => {
      cluster = await Cluster.start({ network, accelerated: true });
    });
    afterAll(() => cluster?.remove());

    const restarts = async (pods = 6) =>
      Object.fromEntries((await cluster.podsReady(pods)).map((pod) => [pod.name, pod.restarts]));

    test('a daemon that is killed, and one that is stopped: connections of pods live on', {
      timeout: 300_000,
    }, async () => {
      const pulse = await Pulse.start(cluster);
      await pulse.lives();
      const before = await restarts();
      for (const [host, end] of [
        [host1, killDaemon],
        [host2, stopDaemon],
      ] as const) {
        await end(host);
        await pulse.lives(); // over the fallback network
        await startDaemon(host);
        for (const node of cluster.nodes) await tunnelCarried(node);
        await pulse.lives();
        await expectPodsWork(cluster);
      }
      await cluster.nodesReady();
      expect(await restarts()).toEqual(before);
      await expectOnlyNodesSwitched(cluster);
    });

    test('the kubelet: pods stay, and new ones are started', async () => {
      const before = await restarts();
      const [, node] = cluster.nodes;
      const pid = (await node.output(['pidof', 'kubelet'])).trim();
      await node.output(['kill', '-KILL', pid]);
      await eventually('another kubelet', async () => {
        const { stdout } = await node.exec(['pidof', 'kubelet']);
        return stdout.trim() !== '' && stdout.trim() !== pid ? true : undefined;
      });
      await cluster.kubectl(['scale', 'deployment/replicas', '--replicas=8']);
      const pods = await cluster.podsReady(10);
      expect(pods.filter((pod) => pod.node === 'node-2').length).toBeGreaterThan(3);
      expect(await restarts(10)).toMatchObject(before);
      await cluster.kubectl(['scale', 'deployment/replicas', '--replicas=4']);
      await cluster.podsReady(6);
      await expectPodsWork(cluster);
    });

    // Of both ends: the control plane comes back with what it knew.
    // Not by podman restart: Podman 5.4 does not wait until pasta has given the ports back, with or without acceleration.
    test.each([1, 0] as const)('a node that is stopped and started: %i', async (which) => {
      const node = cluster.nodes[which];
      const before = await cluster.pod(`server-${which + 1}`);
      await node.host.output(['podman', 'stop', '--time', '5', node.name]);
      await eventually('the node starts', async () =>
        (await node.host.run(['podman', 'start', node.name])).status === 0 ? true : undefined,
      );
      await eventually('the pods of the node are started again', async () => {
        const pod = (await cluster.pods())?.find(({ name }) => name === before.name);
        return pod !== undefined && pod.restarts > before.restarts && pod.ready ? true : undefined;
      });
      await cluster.nodesReady();
      await cluster.podsReady();
      for (const each of cluster.nodes) await tunnelCarried(each);
      await expectPodsWork(cluster);
      await expectNodePortWorks(cluster);
      await expectWayOut(cluster);
      await expectOnlyNodesSwitched(cluster);
    });
  });
});
