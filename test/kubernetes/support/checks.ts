/** What works in a cluster, with and without acceleration, and what of it may be switched. */
import { expect } from 'vitest';
import { eventually, PUBLIC, REMOTE, remote } from '../../integration/support/lab.js';
import { tunnelsOf } from '../../integration/support/tunnels.js';
import { CLUSTER_IP, type Cluster, type ClusterNode, NODE_PORT } from './cluster.js';

const wget = (address: string, port = 80) => `wget -q -O - -T 10 http://${address}:${port}/`;
const curl = (address: string, port = 80) => [
  'curl',
  '-sS',
  '--max-time',
  '10',
  `http://${address}:${port}/`,
];
/** `default/kubernetes`: the first address of the services' network. */
const API_CLUSTER_IP = '10.96.0.1';
/** Of test/lab/README.md. */
const BIG_SHA256 = '59d019013ce42b9fcfea4581650403b2869211ad281fac9eef93a665b969cf2c';
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

/** From outside, by what both nodes publish, and from the nodes. The node port of 1.20 is IPv4's. */
export async function expectNodePortWorks(cluster: Cluster): Promise<void> {
  await cluster.servicesReady();
  for (const node of cluster.nodes) {
    const { address, port } = node.published;
    expect(SERVERS).toContain(await remote.output(curl(address, port)));
    expect(SERVERS).toContain(await node.output(curl(node.address, NODE_PORT)));
  }
}

export async function expectWayOut(cluster: Cluster): Promise<void> {
  for (const pod of ['server-1', 'server-2']) {
    expect(await cluster.inPod(pod, wget(REMOTE.name))).toBe('hello from remote\n');
  }
}

/** Waits until the tunnel of a node is carried. */
export async function tunnelCarried(node: ClusterNode): Promise<void> {
  await eventually(`the tunnel of ${node.name} is carried`, async () =>
    (await tunnelsOf(node))?.up === 1 ? true : undefined,
  );
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

/** With the pods' way out: of all that a pod connects to, only the public address is switched. */
export async function expectWayOutSwitched(cluster: Cluster): Promise<void> {
  const servers = [await cluster.pod('server-1'), await cluster.pod('server-2')] as const;
  const [{ address: apiServer }] = cluster.nodes;
  for (const [index, node] of cluster.nodes.entries()) {
    const [pod, other] = index === 0 ? servers : ([servers[1], servers[0]] as const);
    const before = await node.counters();
    const kept = [
      `${CLUSTER_IP}:80`,
      `${API_CLUSTER_IP}:443`,
      `${other.address}:80`,
      `${apiServer}:${cluster.apiPort}`,
      `${REMOTE.v4}:7`,
    ];
    const switched = `${PUBLIC.v4}:7`;
    const hold = [...kept, switched].map((to) => `sleep 1000 | nc ${to.replace(':', ' ')} &`);
    await cluster.inPod(pod.name, `(${hold.join('\n')}\n) </dev/null >/dev/null 2>&1`);
    // What is switched is no connection of the pod's network namespace.
    const own = async () => {
      const { stdout } = await node.inPod(pod, ['ss', '-Htn', 'state', 'established']);
      const remotes = stdout.split('\n').map((line) => line.trim().split(/\s+/).at(-1) ?? '');
      return [...kept, switched].filter((remote) => remotes.includes(remote));
    };
    await eventually(`the public connection of ${pod.name} is switched`, async () =>
      (await node.switchedTo()).includes(switched) ? true : undefined,
    );
    await eventually(`the other connections of ${pod.name}`, async () =>
      (await own()).length >= kept.length ? true : undefined,
    );
    expect(await own()).toEqual(kept);
    const { reasons = {} } = (await node.counters()) ?? {};
    // Service and pod addresses are on the preset's list, the other two are private; that of a node on a bridge is on a Podman network.
    const more = (reason: string) => (reasons[reason] ?? 0) - (before?.reasons[reason] ?? 0);
    const onBridge = node.address !== node.published.address;
    expect(more('pod-address')).toBeGreaterThanOrEqual(onBridge ? 1 : 2);
    if (onBridge) expect(more('podman-network')).toBeGreaterThanOrEqual(1);
    expect(reasons['ignored']).toBeGreaterThanOrEqual((before?.reasons['ignored'] ?? 0) + 3);
    expect(reasons['nested-netns']).toBeUndefined();
    const download = `wget -q -O - http://${PUBLIC.v4}/big | sha256sum`;
    expect(await cluster.inPod(pod.name, download)).toContain(BIG_SHA256);
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
