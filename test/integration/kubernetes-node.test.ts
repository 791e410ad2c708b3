/**
 * Two nodes as `sockswitch with --preset kubernetes` makes them, with what kube-proxy and flannel write into their network, but without
 * Kubernetes: a pod behind a bridge in each, VXLAN between them, and a service that rules translate to the pod of the other host.
 * test/kubernetes has the real one.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeOnLab, HOST1, REMOTE } from './support/lab.js';
import { carried, type Node, removeNodes, startNodes } from './support/tunnels.js';

const PRESET = {
  'sockswitch/firewall': 'ignore',
  'sockswitch/ignore': '10.244.0.0/16 10.96.0.0/12',
  'sockswitch/tunnels': 'true',
} as const;
const SERVICE = '10.96.7.7';
/** On no list. */
const UNLISTED = '10.112.7.7';
const OF_IPVS = '10.143.7.7';
const curl = (address: string) => [
  'curl',
  '-sSf',
  '-o',
  '/dev/null',
  '--max-time',
  '10',
  `http://${address}/`,
];
const SERVER = 'python3 -u -m http.server --directory /srv 8000';

/** As kube-proxy does for a service with one pod, and flannel for pods' way out. */
const rules = (pod: string) => `
set -e
nat="iptables -t nat"
for chain in KUBE-SERVICES KUBE-SVC-WEB KUBE-SEP-WEB KUBE-POSTROUTING KUBE-MARK-MASQ; do $nat -N $chain; done
$nat -A PREROUTING -j KUBE-SERVICES
$nat -A OUTPUT -j KUBE-SERVICES
$nat -A POSTROUTING -j KUBE-POSTROUTING
$nat -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
$nat -A KUBE-POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE
$nat -A KUBE-POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16 -j MASQUERADE
$nat -A KUBE-SERVICES ! -s 10.244.0.0/16 -d ${SERVICE}/32 -p tcp --dport 80 -j KUBE-MARK-MASQ
$nat -A KUBE-SERVICES -d ${SERVICE}/32 -p tcp --dport 80 -j KUBE-SVC-WEB
$nat -A KUBE-SVC-WEB -m statistic --mode random --probability 1.0 -j KUBE-SEP-WEB
$nat -A KUBE-SEP-WEB -p tcp -j DNAT --to-destination ${pod}:8000`;

describeOnLab('a node of Kubernetes', () => {
  let nodes: readonly [Node, Node];
  beforeAll(async () => {
    nodes = await startNodes({ annotations: PRESET });
    const [near, far] = nodes;
    for (const node of nodes) await node.container.output(['bash', '-c', rules(far.pod)]);
    const inPod = 'nsenter -t $(cat /tmp/pod) -n';
    await far.container.serve(
      `exec ${inPod} ${SERVER}`,
      `${inPod} curl -s -o /dev/null http://127.0.0.1:8000/`,
    );
    await carried(near);
  });
  afterAll(() => removeNodes(nodes));

  test('services and pods of the other host stay in the node and its tunnel', async () => {
    const [near, far] = nodes;
    const before = await near.container.counters();
    for (const address of [SERVICE, `${far.pod}:8000`]) {
      await near.container.output(curl(address));
      const fromPod = await near.inPod(curl(address).join(' '));
      expect(fromPod.status, fromPod.stderr).toBe(0);
    }
    const after = await near.container.counters();
    expect(after?.switched).toBe(before?.switched);
    expect(after?.reasons).toMatchObject({ ignored: 2, 'nested-netns': 2 });
  });

  test("the node's download is switched, that of its pod is not", async () => {
    const [near] = nodes;
    const before = await near.container.counters();
    const words = `curl -sSf --max-time 10 http://${REMOTE.v4}/ip`;
    expect(await near.container.output(words.split(' '))).toBe(`${HOST1.v4}\n`);
    const fromPod = await near.inPod(words);
    expect(fromPod.stdout, fromPod.stderr).toBe(`${HOST1.v4}\n`);
    const after = await near.container.counters();
    expect((after?.switched ?? 0) - (before?.switched ?? 0)).toBe(1);
    expect(after?.reasons['nested-netns']).toBe((before?.reasons['nested-netns'] ?? 0) + 1);
  });

  test('a service address that is on no list is warned of, once in the events', async () => {
    const [{ container, host }] = nodes;
    const sockswitch = async (...words: string[]) =>
      (await host.run(['sockswitch', ...words])).stdout;
    expect(await sockswitch('ps')).not.toContain('service address');
    const more = `
iptables -t nat -A KUBE-SERVICES -d ${UNLISTED}/32 -p tcp --dport 80 -j KUBE-MARK-MASQ
iptables -t nat -A KUBE-SERVICES -d ${UNLISTED}/32 -p tcp --dport 80 -j KUBE-SVC-WEB`;
    await container.output(['sh', '-ec', more]);
    const before = await container.counters();
    for (let times = 0; times < 2; times++) await container.output(curl(UNLISTED));
    const after = await container.counters();
    expect(after?.switched).toBe(before?.switched);
    expect(after?.reasons).toMatchObject({ translated: 2 });
    const said = `the service address ${UNLISTED}, which kube-proxy's rules or device name, is on no ignore list`;
    const short = container.id.slice(0, 12);
    expect(await sockswitch('ps')).toContain(`Warning:\n  ${short}: ${said}`);
    expect(await sockswitch('explain', container.id, UNLISTED)).toContain(`Warning: ${said}`);
    expect(await sockswitch('doctor')).toContain(`WARNING container ${short}: ${said}`);
    expect((await sockswitch('events')).split(said)).toHaveLength(2);
  });

  test('so is one that kube-proxy’s IPVS mode has given to its device', async () => {
    const [, { container, host }] = nodes;
    const warning = async () =>
      (await host.run(['sockswitch', 'explain', container.id, OF_IPVS])).stdout;
    // A bridge, where kube-proxy makes a dummy: not every kernel has these.
    const device = `
ip link add kube-ipvs0 type bridge
ip address add ${SERVICE}/32 dev kube-ipvs0`;
    await container.output(['sh', '-ec', device]);
    expect(await warning()).not.toContain('Warning');
    await container.output(['ip', 'address', 'add', `${OF_IPVS}/32`, 'dev', 'kube-ipvs0']);
    expect(await warning()).toContain(`the service address ${OF_IPVS}, which`);
    await container.output(['ip', 'link', 'del', 'kube-ipvs0']);
    expect(await warning()).not.toContain('Warning');
  });
});
