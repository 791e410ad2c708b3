/** What works in a cluster, with and without acceleration, and what of it may be switched. */
import { expect } from 'vitest';
import { eventually, REMOTE, remote } from '../../integration/support/lab.js';
import { CLUSTER_IP, type Cluster, type ClusterNode, NODE_PORT } from './cluster.js';

const wget = (address: string, port = 80) => `wget -q -O - -T 10 http://${address}:${port}/`;
const curl = (address: string, port = 80) => [
  'curl',
  '-sS',
  '--max-time',
  '10',
  `http://${address}:${port}/`,
];
/** Of workload.yaml: which pod has answered. */
const SERVERS = ['server-1\n', 'server-2\n'];

/** Pods across hosts, ClusterIP, exec and logs, the deployment. */
export async function expectPodsWork(cluster: Cluster): Promise<void> {
  await cluster.servicesReady();
  const [one, two] = [await cluster.pod('server-1'), await cluster.pod('server-2')];
  expect([one.node, two.node]).toEqual(['node-1', 'node-2']);
  expect(await cluster.inPod('server-1', wget(two.address))).toBe('server-2\n');
  expect(await cluster.inPod('server-2', wget(one.address))).toBe('server-1\n');
  for (const pod of ['server-1', 'server-2']) {
    // Of both servers: kube-proxy chooses one at random, so 24 times the same one is less likely than a broken disk.
    const answers = await cluster.inPod(pod, `for i in $(seq 24); do ${wget(CLUSTER_IP)}; done`);
    expect([...new Set(answers.match(/.+\n/g))].sort()).toEqual(SERVERS);
  }
  for (const node of cluster.nodes) {
    expect(SERVERS).toContain(await node.output(curl(CLUSTER_IP)));
    expect(await node.output(curl(one.address))).toBe('server-1\n');
    expect(await node.output(curl(two.address))).toBe('server-2\n');
  }
  // By the API server, which asks the kubelet of the other node.
  expect(await cluster.kubectl(['logs', 'server-2'])).toMatch(/^serving\n/);
  const replicas = (await cluster.pods())?.filter(({ name }) => name.startsWith('replicas-')) ?? [];
  for (const { name, address } of replicas) {
    expect(await cluster.inPod('server-1', wget(address))).toBe(`${name}\n`);
  }
}

/** From outside by both hosts, and from the nodes. The node port of 1.20 is IPv4's. */
export async function expectNodePortWorks(cluster: Cluster): Promise<void> {
  await cluster.servicesReady();
  for (const node of cluster.nodes) {
    expect(SERVERS).toContain(await remote.output(curl(node.address, cluster.publishedNodePort)));
    expect(SERVERS).toContain(await node.output(curl(node.address, NODE_PORT)));
  }
}

export async function expectWayOut(cluster: Cluster): Promise<void> {
  for (const pod of ['server-1', 'server-2']) {
    expect(await cluster.inPod(pod, wget(REMOTE.name))).toBe('hello from remote\n');
  }
}

/** `nc` to remote's echo, from a node and from a pod: that of the node is switched, and nothing that is a pod's or leads to one is. */
export async function expectOnlyNodesSwitched(cluster: Cluster): Promise<void> {
  for (const node of cluster.nodes) {
    const before = await node.counters();
    await holdOpen(node, 'tail -f /dev/null | socat - TCP:10.77.0.100:7');
    const echoes = (addresses: readonly string[]) =>
      addresses.filter((address) => address === `${REMOTE.v4}:7`).length;
    await eventually("the node's connection is switched", async () =>
      echoes(await node.switchedTo()) === 1 ? true : undefined,
    );
    const pod = await cluster.pod(node === cluster.nodes[0] ? 'server-1' : 'server-2');
    await cluster.inPod(pod.name, `(sleep 1000 | nc ${REMOTE.v4} 7) </dev/null >/dev/null 2>&1 &`);
    await eventually("the pod's connection is there", async () => {
      const { stdout } = await node.inPod(pod, ['ss', '-Htn', `dst ${REMOTE.v4}`]);
      return /ESTAB.* 10\.244\.[12]\.\d+:\d+ +10\.77\.0\.100:7/.test(stdout) ? true : undefined;
    });
    const addresses = await node.switchedTo();
    expect(echoes(addresses)).toBe(1);
    expect(addresses.filter((address) => /^10\.(244|96)\./.test(address))).toEqual([]);
    const after = await node.counters();
    const nested = (counters: typeof after) => counters?.reasons['nested-netns'] ?? 0;
    expect(nested(after)).toBeGreaterThan(nested(before));
    expect(after?.reasons['ignored']).toBeGreaterThan(0);
    await node.output(['pkill', '--full', 'socat - TCP:10.77.0.100:7']);
  }
}

async function holdOpen(node: ClusterNode, script: string): Promise<void> {
  await node.output([
    'bash',
    '-c',
    'setsid bash -c "$1" </dev/null >/dev/null 2>&1 & disown',
    'bash',
    script,
  ]);
}
