/** `sockswitch/pods=egress`: which connections of a node's pods are switched. Each case leaves the node as it found it. */
import { beforeAll, expect, test } from 'vitest';
import { KUBE_PROXY_NFTABLES, nft } from '../kernel/firewall-rules.js';
import { describeOnLab, FAR, PUBLIC, REMOTE } from './support/lab.js';
import { inPod, MAKE_IPV6, MASQUERADE6, startNode, TRANSLATE, TRANSLATE6 } from './support/node.js';
import {
  type Container,
  type Counters,
  counters,
  difference,
  ENABLED,
  ps,
} from './support/podman.js';
import { SAMPLE, unlessSample } from './support/sample.js';

/** The network of FAR; the hosts' own, which all fallback networks know; an address that nobody has. */
const LISTED = '10.99.0.0/16 10.77.0.0/24';
const PRIVATE = '10.98.0.1';
const EGRESS = { ...ENABLED, 'sockswitch/pods': `egress ${LISTED}` };

/** What is done in the node before and after, and what becomes of the connection. */
interface Case {
  readonly change?: string;
  readonly undo?: string;
  readonly pod?: number;
  readonly to?: string;
  /** By base/outcome.cc. */
  readonly outcome: string;
  readonly reached: boolean;
}

const FILTER = `nft add table ip f; nft 'add chain ip f forward { type filter hook forward priority 0; }'`;
const UNFILTER = 'nft delete table ip f';
/** What a network policy of pod 1 comes to: for all destinations, and for another one than is asked for. */
const SHUT_IN = `${FILTER}; nft add rule ip f forward ip saddr 10.200.0.11 drop`;
const SHUT_OFF = `${FILTER}; nft add rule ip f forward ip saddr 10.200.0.11 ip daddr 8.8.8.8 drop`;
const IN_POD = inPod(1);
/** Its services' network is not to hold the listed one. */
const KUBE_PROXY = KUBE_PROXY_NFTABLES.replaceAll('10.96.0.0/12', '10.96.0.0/16');

/** By node, what was counted when it was last asked: nothing else connects there. */
const known = new Map<string, Counters>();

/** The outcome of a pod's connect, and whether somebody answered. */
async function connect(node: Container, { change, undo, pod = 1, to = PUBLIC.v4, reached }: Case) {
  const before = known.get(node.id) ?? (await counters(node.id));
  const url = to.includes(':') ? `http://[${to}]/` : `http://${to}/`;
  // What is not reached costs that time; what is may take long on a busy machine.
  const time = reached ? 10 : 0.3;
  const probe = `${inPod(pod)} curl -s -o /dev/null --max-time ${time} '${url}'; status=$?`;
  const script = `${change ?? 'true'}\n${probe}\n${undo ?? 'true'}\nexit $status`;
  const result = await node.sh(script);
  const after = await counters(node.id);
  if (before === undefined || after === undefined) throw new Error('the node is not served');
  known.set(node.id, after);
  return {
    reached: result.status === 0,
    reasons: Object.keys(difference(before, after).reasons),
    stderr: result.stderr,
  };
}

async function expectCase(node: Container, one: Case): Promise<void> {
  expect(await connect(node, one)).toEqual({
    reached: one.reached,
    reasons: [one.outcome],
    stderr: '',
  });
}

/** flannel's, in both of its modes: what kube-proxy has marked is left to that. */
const FLANNEL = `nft flush chain ip nat post
iptables -t nat -N FLANNEL-POSTRTG
iptables -t nat -A POSTROUTING -j FLANNEL-POSTRTG
iptables -t nat -A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -j RETURN
iptables -t nat -A FLANNEL-POSTRTG -s 10.200.0.0/24 -d 10.200.0.0/15 -j RETURN
iptables -t nat -A FLANNEL-POSTRTG -s 10.200.0.0/15 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully`;
const FLANNEL_NFT = `nft flush chain ip nat post
nft add table ip flannel-ipv4
nft 'add chain ip flannel-ipv4 postrtg { type nat hook postrouting priority srcnat; }'
nft add rule ip flannel-ipv4 postrtg meta mark 0x4000 return
nft add rule ip flannel-ipv4 postrtg ip saddr 10.200.0.0/24 ip daddr 10.200.0.0/15 return
nft add rule ip flannel-ipv4 postrtg ip saddr 10.200.0.0/15 ip daddr != 224.0.0.0/4 masquerade fully-random`;
const MARKED = `nft add table ip m; nft 'add chain ip m pre { type filter hook prerouting priority mangle; }'
nft add rule ip m pre ip daddr 198.51.100.1 meta mark set 0x4000 accept`;

/** A process of pod 1, as the host sees it. */
async function sleeper(node: Container): Promise<string> {
  const pid = await node.output(['sh', '-c', `${IN_POD} sleep 60 >/dev/null 2>&1 & echo $!`]);
  const inside = (await node.host.output(['podman', 'top', node.id, 'hpid', 'pid'])).split('\n');
  const words = inside.map((line) => line.trim().split(/\s+/));
  return words.find(([, own]) => own === pid.trim())?.[0] ?? '';
}

async function explained(node: Container, to: string, pid: string): Promise<string> {
  return node.host.output(['sockswitch', 'explain', node.id, to, '--pod', pid]);
}

describeOnLab('connections of pods', () => {
  let node: Container;
  beforeAll(async () => {
    node = await startNode({ annotations: EGRESS });
  });

  const CASES: readonly (readonly [string, Case])[] = [
    ['by a bridge, to a public address', { outcome: 'switched', reached: true }],
    ['by a routed veth', { pod: 3, outcome: 'switched', reached: true }],
    [
      'by a routed veth to a gateway that is nobody’s',
      { pod: 4, outcome: 'switched', reached: true },
    ],
    [
      'to such a gateway, for which the node does not answer any more',
      {
        change: `ip link set veth4 down; ip link set veth4 up; ip route add 10.201.1.4/32 dev veth4; echo 0 >/proc/sys/net/ipv4/conf/veth4/proxy_arp`,
        pod: 4,
        undo: 'echo 1 >/proc/sys/net/ipv4/conf/veth4/proxy_arp',
        outcome: 'not-uplink',
        reached: false,
      },
    ],
    [
      'to which the node answers elsewhere',
      {
        change: 'ip route del 10.201.1.4/32 dev veth4; ip route add 10.201.1.4/32 dev cni0',
        pod: 4,
        undo: 'ip route del 10.201.1.4/32 dev cni0; ip route add 10.201.1.4/32 dev veth4',
        outcome: 'not-uplink',
        reached: false,
      },
    ],
    [
      'over flannel’s masquerading',
      {
        change: FLANNEL,
        undo: `iptables -t nat -F; iptables -t nat -X; ${TRANSLATE}`,
        outcome: 'switched',
        reached: true,
      },
    ],
    [
      'over flannel’s masquerading by nftables',
      {
        change: FLANNEL_NFT,
        undo: `nft delete table ip flannel-ipv4; ${TRANSLATE}`,
        outcome: 'switched',
        reached: true,
      },
    ],
    [
      'over it, where a rule may have marked it',
      {
        change: `${MARKED}; ${FLANNEL_NFT}`,
        undo: `nft delete table ip m; nft delete table ip flannel-ipv4; ${TRANSLATE}`,
        outcome: 'firewall',
        reached: true,
      },
    ],
    ['to a private address', { to: PRIVATE, outcome: 'pod-address', reached: false }],
    ['to a listed network', { to: FAR.v4, outcome: 'switched', reached: true }],
    ['to one by a routed veth', { pod: 3, to: FAR.v4, outcome: 'switched', reached: true }],
    ['to one that the host is in', { to: REMOTE.v4, outcome: 'pod-network', reached: true }],
    [
      'to one of which a route of the pod leads a part elsewhere',
      {
        to: FAR.v4,
        change: `${IN_POD} ip route add 10.99.5.0/24 via 10.200.0.12`,
        undo: `${IN_POD} ip route del 10.99.5.0/24`,
        outcome: 'pod-network',
        reached: true,
      },
    ],
    [
      'to one of which the pod has an address',
      {
        to: FAR.v4,
        change: `${IN_POD} ip address add 10.99.5.1/32 dev lo`,
        undo: `${IN_POD} ip address del 10.99.5.1/32 dev lo`,
        outcome: 'pod-network',
        reached: true,
      },
    ],
    [
      'to one of which a route of the node refuses a part',
      {
        to: FAR.v4,
        change: 'ip route add unreachable 10.99.5.0/24',
        undo: 'ip route del unreachable 10.99.5.0/24',
        outcome: 'pod-network',
        reached: true,
      },
    ],
    [
      'to one in which the node has a network',
      {
        to: FAR.v4,
        change: 'ip address add 10.99.5.1/24 dev cni0',
        undo: 'ip address del 10.99.5.1/24 dev cni0',
        outcome: 'pod-network',
        reached: true,
      },
    ],
    [
      'to one in which the node has a service address',
      {
        to: FAR.v4,
        change: `nft 'add chain ip nat pre { type nat hook prerouting priority dstnat; }'; nft add rule ip nat pre ip daddr 10.99.5.1 tcp dport 443 dnat to 10.200.0.12`,
        undo: 'nft delete chain ip nat pre',
        outcome: 'pod-network',
        reached: true,
      },
    ],
    [
      'to one of which the node does not masquerade a part',
      {
        to: FAR.v4,
        change: 'nft insert rule ip nat post ip daddr 10.99.5.0/24 accept',
        undo: `nft delete rule ip nat post handle $(nft -a list chain ip nat post | sed -n 's/.*10.99.5.0.*handle //p')`,
        outcome: 'pod-network',
        reached: true,
      },
    ],
    [
      'without a default route',
      {
        change: `${IN_POD} ip route del default`,
        undo: `${IN_POD} ip route add default via 10.200.0.1`,
        outcome: 'no-route',
        reached: false,
      },
    ],
    [
      'that a route of the pod refuses',
      {
        change: `${IN_POD} ip route add blackhole 203.0.113.0/24`,
        undo: `${IN_POD} ip route del blackhole 203.0.113.0/24`,
        outcome: 'restricted',
        reached: false,
      },
    ],
    [
      'that a route of the pod refuses to another destination',
      {
        change: `${IN_POD} ip route add blackhole 8.8.8.0/24`,
        undo: `${IN_POD} ip route del blackhole 8.8.8.0/24`,
        outcome: 'restricted',
        reached: true,
      },
    ],
    [
      'that a route of the node refuses',
      {
        change: 'ip route add blackhole 203.0.113.0/24',
        undo: 'ip route del blackhole 203.0.113.0/24',
        outcome: 'restricted',
        reached: false,
      },
    ],
    [
      'over another pod',
      {
        change: `${IN_POD} ip route replace default via 10.200.0.12`,
        undo: `${IN_POD} ip route replace default via 10.200.0.1`,
        outcome: 'not-uplink',
        reached: false,
      },
    ],
    [
      'with a neighbour entry that was set',
      {
        change: `${IN_POD} ip neighbour replace 10.200.0.1 lladdr 02:00:00:00:00:01 dev eth0`,
        undo: `${IN_POD} ip neighbour del 10.200.0.1 dev eth0`,
        outcome: 'not-uplink',
        reached: false,
      },
    ],
    [
      'from a node that does not forward',
      {
        change: 'echo 0 >/proc/sys/net/ipv4/ip_forward',
        undo: 'echo 1 >/proc/sys/net/ipv4/ip_forward',
        outcome: 'not-uplink',
        reached: false,
      },
    ],
    [
      'with a routing rule of the node',
      {
        change: 'ip rule add from 10.200.0.11 prohibit',
        undo: 'ip rule del from 10.200.0.11 prohibit',
        outcome: 'not-uplink',
        reached: false,
      },
    ],
    [
      'by a route in the node’s table of its own addresses',
      {
        change: 'ip route add 203.0.113.0/24 dev cni0 table local',
        undo: 'ip route del 203.0.113.0/24 dev cni0 table local',
        outcome: 'restricted',
        reached: false,
      },
    ],
    [
      // As a tunnel that is carried has it (native/tunnel/tap.h).
      'with a routing rule of the node for datagrams',
      {
        change: 'ip rule add ipproto udp table 100; ip route add 203.0.113.0/24 dev cni0 table 100',
        undo: 'ip rule del ipproto udp table 100; ip route flush table 100',
        outcome: 'switched',
        reached: true,
      },
    ],
    [
      'with a routing rule of the node for all but datagrams',
      {
        change: 'ip rule add not ipproto udp table 100',
        undo: 'ip rule del not ipproto udp table 100',
        outcome: 'restricted',
        reached: true,
      },
    ],
    [
      'that the node drops',
      {
        change: SHUT_IN,
        undo: UNFILTER,
        outcome: 'firewall',
        reached: false,
      },
    ],
    [
      'with a policy for other destinations only',
      {
        change: SHUT_OFF,
        undo: UNFILTER,
        outcome: 'firewall',
        reached: true,
      },
    ],
    [
      'with a policy for replies',
      {
        change: `${FILTER}; nft add rule ip f forward ip daddr 10.200.0.11 drop`,
        undo: UNFILTER,
        outcome: 'firewall',
        reached: false,
      },
    ],
    [
      'with a policy in a set',
      {
        change: `${FILTER}; nft 'add set ip f allowed { type ipv4_addr; }'; nft 'add rule ip f forward ip saddr 10.200.0.11 ip daddr != @allowed drop'`,
        undo: UNFILTER,
        outcome: 'firewall',
        reached: false,
      },
    ],
    [
      'with a filter of frames',
      {
        change: `nft add table bridge f; nft 'add chain bridge f input { type filter hook prerouting priority 0; }'; nft add rule bridge f input drop`,
        undo: 'nft delete table bridge f',
        outcome: 'firewall',
        reached: false,
      },
    ],
    [
      'with a filter of the pod’s own',
      {
        change: `${IN_POD} nft add table ip f; ${IN_POD} nft 'add chain ip f output { type filter hook output priority 0; }'; ${IN_POD} nft add rule ip f output counter`,
        undo: `${IN_POD} nft delete table ip f`,
        outcome: 'firewall',
        reached: true,
      },
    ],
    [
      'that the node sends elsewhere',
      {
        change: `nft 'add chain ip nat pre { type nat hook prerouting priority dstnat; }'; nft add rule ip nat pre ip daddr 203.0.113.1 dnat to 10.200.0.12`,
        undo: 'nft delete chain ip nat pre',
        outcome: 'firewall',
        reached: false,
      },
    ],
    [
      'with a service address of the node in a private range',
      {
        change: `nft 'add chain ip nat pre { type nat hook prerouting priority dstnat; }'; nft add rule ip nat pre ip daddr 10.96.0.1 tcp dport 443 dnat to 10.200.0.12`,
        undo: 'nft delete chain ip nat pre',
        outcome: 'switched',
        reached: true,
      },
    ],
    [
      // What it has learnt of this pod before still passes.
      'by a port of the bridge that takes frames of some only',
      {
        change: 'ip link set veth1 type bridge_slave locked on',
        undo: 'ip link set veth1 type bridge_slave locked off',
        outcome: 'unknown-way',
        reached: true,
      },
    ],
    [
      'by a device that is down',
      {
        change: 'ip link set veth1 down',
        undo: 'ip link set veth1 up',
        outcome: 'not-uplink',
        reached: false,
      },
    ],
    ['after all that', { outcome: 'switched', reached: true }],
  ];

  test.each(CASES)('%s', async (_title, one) => {
    await expectCase(node, one);
  });

  test('are explained', async () => {
    const pid = await sleeper(node);
    const explain = (to: string) => explained(node, to, pid);
    expect(await explain(PUBLIC.v4)).toMatch(
      /the pod's eth0 leads to the node's cni0.*Rule: switched/,
    );
    expect(await explain(FAR.v4)).toMatch(/all of the listed 10\.99\.0\.0\/16 .*Rule: switched/);
    expect(await explain(REMOTE.v4)).toMatch(
      /part of the listed 10\.77\.0\.0\/24 leads elsewhere: .*Rule: pod-network/,
    );
    expect(await node.host.output(['sockswitch', 'events'])).toMatch(
      /pod-network: .*10\.77\.0\.0\/24, the (node has a route to|host has the own address) 10\.77\./,
    );
    const left = await explain(PRIVATE);
    expect(left).toContain('Rule: pod-address');
    expect(left).not.toContain("the container's own network namespace");
  });

  test('are counted by their namespaces', async () => {
    const row = (await ps()).containers.find(({ id }) => id === node.id);
    expect(row?.nested).toEqual({ networks: 3, connects: 0 });
    const shown = await node.host.output(['sockswitch', 'ps']);
    expect(shown).toMatch(new RegExp(`^  ${node.id.slice(0, 12)}: 3 namespaces$`, 'm'));
    const answer = await node.host.output(['sockswitch', 'explain', node.id, PUBLIC.v4]);
    expect(answer).toContain('(the pods of a node, 3 namespaces so far) use --pod');
  });

  test('that are not masqueraded', async () => {
    const rules = await node.output(['nft', 'list', 'table', 'ip', 'nat']);
    await node.output(['nft', 'flush', 'table', 'ip', 'nat']);
    const { reasons } = await connect(node, { outcome: 'firewall', reached: false });
    expect(reasons).toEqual(['firewall']);
    await node.output(['nft', '-f', '-'], { stdin: `delete table ip nat\n${rules}` });
    await expectCase(node, { outcome: 'switched', reached: true });
  });
});

/** Of the ignore list, and in it. */
const IGNORED = '2d00:114::/32';
const FILTER6 = `nft add table ip6 f; nft 'add chain ip6 f forward { type filter hook forward priority 0; }'`;
const UNFILTER6 = 'nft delete table ip6 f';
const SHUT_IN6 = `${FILTER6}; nft add rule ip6 f forward ip6 saddr fd00:10:244::11 drop`;
const SHUT_OFF6 = `${FILTER6}; nft add rule ip6 f forward ip6 saddr fd00:10:244::11 ip6 daddr 2a00::1 drop`;
const PRE6 = `nft 'add chain ip6 nat pre { type nat hook prerouting priority dstnat; }'; nft add rule ip6 nat pre`;
const UNPRE6 = 'nft delete chain ip6 nat pre';
/** The rules of address translation, instead of the node's own. */
const translatedBy = (...rules: readonly string[]) => ({
  change: [
    'nft flush chain ip6 nat post',
    ...rules.map((rule) => `nft 'add rule ip6 nat post ${rule}'`),
  ].join('; '),
  undo: `nft flush chain ip6 nat post; ${TRANSLATE6}`,
});
/** kind's ip-masq-agent. */
const KIND = `nft flush chain ip6 nat post
ip6tables -t nat -N KIND-MASQ-AGENT
ip6tables -t nat -A POSTROUTING -m addrtype ! --dst-type LOCAL -j KIND-MASQ-AGENT
ip6tables -t nat -A KIND-MASQ-AGENT -d fd00:10:244::/48 -j RETURN
ip6tables -t nat -A KIND-MASQ-AGENT -j MASQUERADE`;
const UNKIND = `ip6tables -t nat -F; ip6tables -t nat -X; ${TRANSLATE6}`;

describeOnLab('connections of pods over IPv6', () => {
  let node: Container;
  beforeAll(async () => {
    node = await startNode({ annotations: { ...EGRESS, 'sockswitch/ignore': IGNORED } });
    await node.output(['bash', '-c', MAKE_IPV6]);
  });

  const CASES: readonly (readonly [string, Case])[] = [
    ['by a bridge, to a public address', { outcome: 'switched', reached: true }],
    ['by a link-local gateway', { pod: 2, outcome: 'switched', reached: true }],
    ['to one on the ignore list', { to: '2d00:114::1', outcome: 'ignored', reached: false }],
    [
      'over kind’s masquerading',
      { change: KIND, undo: UNKIND, outcome: 'switched', reached: true },
    ],
    [
      'that a route of the node leads elsewhere',
      {
        change: 'ip route add 2d00:113::/32 dev cni0',
        undo: 'ip route del 2d00:113::/32 dev cni0',
        outcome: 'restricted',
        reached: false,
      },
    ],
    [
      'from a node that does not forward it',
      {
        change: 'echo 0 >/proc/sys/net/ipv6/conf/all/forwarding',
        undo: 'echo 1 >/proc/sys/net/ipv6/conf/all/forwarding',
        outcome: 'not-uplink',
        reached: false,
      },
    ],
    [
      'with a routing rule of the node',
      {
        change: 'ip -6 rule add from fd00:10:244::12 table 100',
        undo: 'ip -6 rule del from fd00:10:244::12 table 100',
        outcome: 'restricted',
        reached: true,
      },
    ],
    [
      'with a policy for other destinations only',
      { change: SHUT_OFF6, undo: UNFILTER6, outcome: 'firewall', reached: true },
    ],
    [
      'with a filter of what finds neighbours',
      {
        change: `nft add table inet f; nft 'add chain inet f input { type filter hook input priority 0; }'; nft add rule inet f input icmpv6 type echo-request drop`,
        undo: 'nft delete table inet f',
        outcome: 'firewall',
        reached: true,
      },
    ],
    // pasta takes packets from any source.
    ['that are not masqueraded', { ...translatedBy(), outcome: 'firewall', reached: true }],
    [
      'that are masqueraded to one destination only',
      { ...translatedBy('ip6 daddr 2d00:113::1 masquerade'), outcome: 'firewall', reached: true },
    ],
  ];
  const MORE: readonly (readonly [string, Case])[] = [
    ['to a private address', { to: FAR.v6, outcome: 'pod-address', reached: true }],
    [
      'with a neighbour entry that was set',
      {
        pod: 2,
        change: `${inPod(2)} ip neighbour replace fe80::1 lladdr 02:00:00:00:00:01 dev eth0`,
        undo: `${inPod(2)} ip neighbour del fe80::1 dev eth0`,
        outcome: 'not-uplink',
        reached: false,
      },
    ],
    [
      'with two default routes',
      {
        change: `${IN_POD} ip route add default via fd00:10:244::12 metric 4096`,
        undo: `${IN_POD} ip route del default via fd00:10:244::12 metric 4096`,
        outcome: 'restricted',
        reached: true,
      },
    ],
    ['by a routed veth', { pod: 3, outcome: 'switched', reached: true }],
    ['to one for documentation', { to: '2001:db8:42::1', outcome: 'pod-address', reached: false }],
    [
      'that a route of the pod refuses to another destination',
      {
        change: `${IN_POD} ip route add blackhole 2a00::/16`,
        undo: `${IN_POD} ip route del blackhole 2a00::/16`,
        outcome: 'restricted',
        reached: true,
      },
    ],
    [
      'over another pod',
      {
        change: `${IN_POD} ip -6 route replace default via fd00:10:244::12`,
        undo: `${IN_POD} ip -6 route replace default via fd00:10:244::1`,
        outcome: 'not-uplink',
        reached: false,
      },
    ],
    [
      'with a route by source address',
      {
        change: `${IN_POD} ip route add default from fd00:5::/64 via fd00:10:244::12`,
        undo: `${IN_POD} ip route del default from fd00:5::/64 via fd00:10:244::12`,
        outcome: 'restricted',
        reached: true,
      },
    ],
    [
      'with a routing rule of the node for IPv4',
      {
        change: 'ip -4 rule add from 10.200.0.12 table 100',
        undo: 'ip -4 rule del from 10.200.0.12 table 100',
        outcome: 'switched',
        reached: true,
      },
    ],
    [
      'that the node drops',
      { change: SHUT_IN6, undo: UNFILTER6, outcome: 'firewall', reached: false },
    ],
    [
      'that are not masqueraded to a part of the public addresses',
      {
        ...translatedBy('ip6 daddr 2a00::/32 accept', MASQUERADE6),
        outcome: 'firewall',
        reached: true,
      },
    ],
    [
      'that are not masqueraded to a part of the private addresses',
      {
        ...translatedBy('ip6 daddr fd99::/64 accept', MASQUERADE6),
        outcome: 'switched',
        reached: true,
      },
    ],
    [
      'that the node sends elsewhere',
      {
        change: `${PRE6} ip6 daddr 2d00:113::1 dnat to fd00:10:244::12`,
        undo: UNPRE6,
        outcome: 'firewall',
        reached: false,
      },
    ],
  ];

  test.each([...CASES, ...(SAMPLE ? [] : MORE)])('%s', async (_title, one) => {
    await expectCase(node, { to: PUBLIC.v6, ...one });
  });

  test('after all that', async () => {
    await expectCase(node, { to: PUBLIC.v6, outcome: 'switched', reached: true });
  });
});

describeOnLab('a node without sockswitch/pods', () => {
  test('keeps its pods on their own network', async () => {
    const node = await startNode({ annotations: ENABLED });
    await expectCase(node, { outcome: 'nested-netns', reached: true });
  });
});

const describeUnlessSample = SAMPLE ? () => undefined : describeOnLab;

describeUnlessSample('pods of a node that waives its firewall, over IPv6', () => {
  let node: Container;
  beforeAll(async () => {
    node = await startNode({ annotations: { ...EGRESS, 'sockswitch/firewall': 'ignore' } });
    await node.output(['bash', '-c', MAKE_IPV6]);
  });

  test.each<readonly [string, Case]>([
    [
      'a policy is waived',
      { change: SHUT_OFF6, undo: UNFILTER6, outcome: 'switched', reached: true },
    ],
    ['a drop is not', { change: SHUT_IN6, undo: UNFILTER6, outcome: 'isolated', reached: false }],
    [
      'what may be sent elsewhere stays',
      {
        change: `${FILTER6}; nft add rule ip6 f forward counter; ${PRE6} ip6 daddr 2d00:113::1 dnat to fd00:10:244::12`,
        undo: `${UNFILTER6}; ${UNPRE6}`,
        outcome: 'translated',
        reached: false,
      },
    ],
    [
      'and what is not masqueraded',
      {
        ...translatedBy('ip6 daddr 2a00::/32 masquerade'),
        outcome: 'isolated',
        reached: true,
      },
    ],
  ])('%s', async (_title, one) => {
    await expectCase(node, { to: PUBLIC.v6, ...one });
  });
});

describeOnLab('pods of a node on a bridge', () => {
  let node: Container;
  beforeAll(async () => {
    const pods = 'egress 10.99.0.0/16 10.88.0.0/14';
    node = await startNode({
      annotations: { ...ENABLED, 'sockswitch/pods': pods },
      network: 'bridge',
    });
  });

  test('reach a listed network', async () => {
    await expectCase(node, { to: FAR.v4, outcome: 'switched', reached: true });
  });

  test('are not switched to one that holds a network of Podman’s', async () => {
    await expectCase(node, { to: '10.91.0.1', outcome: 'pod-network', reached: false });
  });

  test.each([
    ['refuses a part of', 'route', ['unreachable', '10.99.5.0/24']],
    ['has an address in', 'address', ['10.99.5.1/32', 'dev', 'lo']],
  ])('are not switched to one that the host %s', async (_title, what, words) => {
    await node.host.output(['ip', what, 'add', ...words], { root: true });
    try {
      await expectCase(node, { to: FAR.v4, outcome: 'pod-network', reached: true });
    } finally {
      await node.host.output(['ip', what, 'del', ...words], { root: true });
    }
    await expectCase(node, { to: FAR.v4, outcome: 'switched', reached: true });
  });
});

describeOnLab('a node that waives its firewall', () => {
  let node: Container;
  beforeAll(async () => {
    const annotations = { ...EGRESS, 'sockswitch/firewall': 'ignore' };
    node = await startNode({ annotations, network: 'slirp4netns' });
  });

  test.each<readonly [string, Case]>([
    [
      'a network policy does not count',
      {
        change: SHUT_OFF,
        undo: UNFILTER,
        outcome: 'switched',
        reached: true,
      },
    ],
    [
      'what surely drops the packet does',
      {
        change: SHUT_IN,
        undo: UNFILTER,
        outcome: 'isolated',
        reached: false,
      },
    ],
    [
      'what may be sent elsewhere stays',
      {
        change: `nft 'add chain ip nat pre { type nat hook prerouting priority dstnat; }'; nft add rule ip nat pre ip daddr 203.0.113.1 dnat to 10.200.0.12`,
        undo: 'nft delete chain ip nat pre',
        outcome: 'translated',
        reached: false,
      },
    ],
    [
      'nor is a listed network with a service address switched',
      {
        to: FAR.v4,
        change: `nft 'add chain ip nat pre { type nat hook prerouting priority dstnat; }'; nft add rule ip nat pre ip daddr 10.99.5.1 tcp dport 443 dnat to 10.200.0.12`,
        undo: 'nft delete chain ip nat pre',
        outcome: 'pod-network',
        reached: true,
      },
    ],
    [
      'a listed network is where kube-proxy, in nftables mode, has no service address in it',
      {
        to: FAR.v4,
        change: nft(KUBE_PROXY),
        undo: 'nft delete table ip kube-proxy',
        outcome: 'switched',
        reached: true,
      },
    ],
    [
      'and is not where it has one',
      {
        to: FAR.v4,
        change: nft(KUBE_PROXY.replaceAll('10.96.0.10', '10.99.5.1')),
        undo: 'nft delete table ip kube-proxy',
        outcome: 'pod-network',
        reached: true,
      },
    ],
    [
      'nor one where it has one at the same port',
      {
        to: FAR.v4,
        change: nft(
          KUBE_PROXY.replaceAll('10.96.0.10', '10.99.5.1').replaceAll('tcp . 53', 'tcp . 80'),
        ),
        undo: 'nft delete table ip kube-proxy',
        outcome: 'pod-network',
        reached: true,
      },
    ],
    ['and else a listed one is', { to: FAR.v4, outcome: 'switched', reached: true }],
    ['and else it is switched', { outcome: 'switched', reached: true }],
  ])('%s', async (_title, one) => {
    await expectCase(node, one);
  });

  unlessSample('that network policies do not count is explained', async () => {
    const pid = await sleeper(node);
    expect(await explained(node, PUBLIC.v4, pid)).not.toContain('waived');
    await node.output(['bash', '-c', SHUT_OFF]);
    const text = await explained(node, PUBLIC.v4, pid);
    await node.output(['bash', '-c', UNFILTER]);
    expect(text).toMatch(/packet filters are waived, network policies included .*Rule: switched/);
  });
});
