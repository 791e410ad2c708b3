/**
 * What root in a container, or the user by Podman, does to a network that is there: routes, rules, devices, firewall, namespaces.
 *
 * `inside` is for sh in the container, where `$dev` is its first device (lo where there is no other), `$own` that one's IPv4 address
 * and `$gw` the IPv4 gateway. A script may fail, alike in both containers, but not in common ones (networks.ts).
 */
import { FAR, REMOTE } from '../../integration/support/lab.js';
import { CLUSTER_IP, OTHER_PORT, PORT } from './destinations.js';
import type { NetworkKind } from './networks.js';

export const FAMILIES = [
  ...['nothing', 'harmless', 'routes', 'rules', 'devices', 'firewall', 'queues and transforms'],
  ...['namespaces', 'podman', 'rootless namespace'],
] as const;

export type Needs = 'nobody' | 'admin' | 'privileged';

export interface Change {
  readonly id: string;
  readonly family: (typeof FAMILIES)[number];
  readonly needs: Needs;
  readonly inside?: string;
  /** For bash on the host, for each container: $1 its name, $2 its Podman network. */
  readonly onHost?: string;
  /** For sh as root of the rootless network namespace, once for both containers; and what takes it back. */
  readonly rootless?: { readonly make: string; readonly undo: string };
  /** The client is in namespaces of its own, in which `inside` is run. */
  readonly client?: 'unshared' | 'in pod';
  /** Left out: for all networks. */
  readonly on?: (kind: NetworkKind) => boolean;
}

const hasDevice = (kind: NetworkKind) => kind.noDevice !== true;
const hasNetwork = (kind: NetworkKind) => kind.network !== undefined && kind.family !== 'pod';
const hasNear = (kind: NetworkKind) => kind.bridge !== undefined;

type Family = Change['family'];
const admin =
  (family: Family, on?: Change['on']) =>
  (id: string, inside: string): Change => ({
    ...{ id, family, needs: 'admin', inside },
    ...(on === undefined ? {} : { on }),
  });

const harmless = admin('harmless', hasDevice);
const route = admin('routes');
const rule = admin('rules');
const device = admin('devices');
const link = admin('devices', hasDevice);
const firewall = admin('firewall');
const firewallOfDevice = admin('firewall', hasDevice);
const queue = admin('queues and transforms', hasDevice);

/** A default route by a device that leads nowhere; `make` makes it and calls it own0. */
const nowhere = (make: string) => `${make}
ip address add 10.9.9.2/24 dev own0
ip address add fd09::2/64 dev own0 nodad
ip link set own0 up
ip route replace default via 10.9.9.1 dev own0
ip -6 route replace default via fd09::1 dev own0`;

/** A table `own` with one chain; `before` are objects that the rules name. */
function nft(
  type: string,
  rules: readonly string[],
  family = 'inet',
  before: readonly string[] = [],
) {
  return [
    `nft add table ${family} own`,
    ...before.map((object) => `nft add ${object}`),
    `nft add chain ${family} own c "{ type ${type}; }"`,
    ...rules.map((text) => `nft add rule ${family} own c ${text}`),
  ].join('\n');
}
const OUTPUT = 'filter hook output priority 0';
const TRANSLATE = 'nat hook output priority -100';

/** A table that says no, and a rule that leads there. */
const ruled = (selector: string) => `
ip route add unreachable default table 100
ip rule add ${selector} lookup 100`;

const podman = (id: string, onHost: string, on: Change['on'] = hasNetwork): Change => ({
  ...{ id, family: 'podman', needs: 'nobody', onHost },
  on,
});

const rootless = (id: string, make: string, undo: string): Change => ({
  ...{ id, family: 'rootless namespace', needs: 'nobody', rootless: { make, undo } },
  on: hasNear,
});

const unshared = (id: string, inside: string): Change => ({
  ...{ id, family: 'namespaces', needs: 'nobody', inside, client: 'unshared' },
});

/** As a Kubernetes node does for a pod (test/integration/nested.test.ts). */
const POD = `
ip netns add pod
ip link add node0 type veth peer name pod0 netns pod
ip address add 10.200.0.1/24 dev node0
ip link set node0 up
nsenter --net=/run/netns/pod ip address add 10.200.0.2/24 dev pod0
nsenter --net=/run/netns/pod ip link set pod0 up
nsenter --net=/run/netns/pod ip route add default via 10.200.0.1`;
const FORWARD = `
echo 1 >/proc/sys/net/ipv4/ip_forward
nft add table ip node
nft add chain ip node post '{ type nat hook postrouting priority 100; }'
nft add rule ip node post ip saddr 10.200.0.0/24 masquerade`;

const inPod = (id: string, inside: string): Change => ({
  ...{ id, family: 'namespaces', needs: 'privileged', inside, client: 'in pod' },
});

export const NOTHING: Change = { id: 'nothing', family: 'nothing', needs: 'nobody' };

export const CHANGES: readonly Change[] = [
  NOTHING,

  harmless('a smaller MTU', 'ip link set "$dev" mtu 1400'),
  harmless('an address on lo', 'ip address add 10.200.9.1/32 dev lo'),
  harmless('a bridge without routes', 'ip link add own0 type bridge; ip link set own0 up'),
  harmless(
    'a veth pair with addresses',
    'ip link add own0 type veth peer name own1; ip address add 10.200.8.1/24 dev own0; ip link set own0 up; ip link set own1 up',
  ),
  harmless('a blackhole elsewhere', 'ip route add blackhole 10.201.0.0/16'),
  harmless('an MTU on a route', 'ip route add 10.99.0.0/16 via "$gw" dev "$dev" mtu 1300'),

  route('a blackhole', 'ip route add blackhole 10.99.0.0/16; ip -6 route add blackhole fd99::/64'),
  route('unreachable', `ip route add unreachable ${FAR.v4}; ip -6 route add unreachable ${FAR.v6}`),
  route(
    'prohibited LAN',
    'ip route add prohibit 10.77.0.96/28; ip -6 route add prohibit fd77::100',
  ),
  route('throw', 'ip route add throw 10.99.0.0/16'),
  route('no default', 'ip route del default; ip -6 route del default 2>/dev/null; true'),
  route('a blackhole as default', 'ip route replace blackhole default'),
  route(
    'half of the Internet twice',
    'ip route add blackhole 0.0.0.0/1; ip route add blackhole 128.0.0.0/1',
  ),
  route('a next hop that is nobody', 'ip route add 10.99.0.0/16 via 10.77.0.200 dev "$dev" onlink'),
  route(
    'on the link',
    'ip route add 10.99.0.0/16 dev "$dev"; ip -6 route add fd99::/64 dev "$dev"',
  ),
  route('local', `ip route add local ${FAR.v4} dev lo; ip -6 route add local ${FAR.v6} dev lo`),
  route('an address of its own for far', `ip address add ${FAR.v4}/32 dev lo`),
  route('by type of service', `ip route add blackhole ${FAR.v4} tos 0x10`),
  route('a next hop object', 'ip nexthop add id 7 blackhole; ip route add 10.99.0.0/16 nhid 7'),
  route('table 100 only', 'ip route add blackhole 10.99.0.0/16 table 100'),
  route(
    'another source address',
    'ip address add 10.77.0.60/24 dev "$dev"; ip route add 10.99.0.0/16 via "$gw" dev "$dev" src 10.77.0.60',
  ),
  {
    ...route(
      'through a neighbour',
      'n=$(ip -4 route show dev "$dev" scope link | sed -n "s/0\\/24.*/20/p;q"); ip route add 10.99.0.0/16 via "$n"',
    ),
    on: hasNear,
  },

  rule('uidrange', ruled('uidrange 1000-1000')),
  rule('fwmark', ruled('fwmark 5')),
  rule('ipproto', ruled('ipproto tcp')),
  rule('dport', ruled(`ipproto tcp dport ${OTHER_PORT}`)),
  rule('sport', ruled('ipproto tcp sport 32768-60999')),
  rule('to', ruled(`to ${FAR.v4}`)),
  rule('tos', ruled('tos 0x10')),
  rule('iif lo', ruled('iif lo')),
  rule('oif', ruled('oif "$dev"')),
  rule('from its own', ruled('from "$own"')),
  rule('not to the LAN', ruled('not to 10.77.0.0/24')),
  rule(
    'prohibit by itself',
    'ip rule add to 10.99.0.0/16 prohibit; ip -6 rule add to fd99::/64 unreachable',
  ),
  rule(
    'suppressed default',
    'ip rule add pref 100 lookup main suppress_prefixlength 0; ip rule add pref 101 unreachable',
  ),
  rule('main is gone', 'ip rule del pref 32766'),
  rule(
    'IPv6 uidrange',
    'ip -6 route add unreachable default table 100; ip -6 rule add uidrange 1000-1000 lookup 100',
  ),

  device('a bridge', nowhere('ip link add own0 type bridge')),
  device('a veth pair', nowhere('ip link add own0 type veth peer name own1; ip link set own1 up')),
  device('a tun, as of a VPN that is down', nowhere('ip tuntap add dev own0 mode tun')),
  device('a tap', nowhere('ip tuntap add dev own0 mode tap')),
  link(
    "a tap with the name of the fallback program's",
    `ip link set "$dev" down; ip link set "$dev" name old0; ip link set old0 up
ip tuntap add dev "$dev" mode tap; ip address add 10.9.9.2/24 dev "$dev"; ip link set "$dev" up
ip route replace default via 10.9.9.1 dev "$dev"`,
  ),
  device(
    'a veth pair into a namespace that does not forward',
    `unshare -Urn sleep 600 >/dev/null 2>&1 & sleep 0.3
${nowhere('ip link add own0 type veth peer name own1; ip link set own1 netns $!')}`,
  ),
  link('a macvlan', nowhere('ip link add own0 link "$dev" type macvlan mode bridge')),
  link('its device is down', 'ip link set "$dev" down'),
  link(
    'its device has another name',
    `ip route save >/tmp/r; ip -6 route save >/tmp/r6
ip link set "$dev" down; ip link set "$dev" name other0; ip link set other0 up
(ip route restore </tmp/r; ip -6 route restore </tmp/r6) 2>/dev/null # what the kernel made is there
ip route get 10.99.0.1 >/dev/null`,
  ),
  // Who is resolved already stays reachable for a while, and whose connections were switched has resolved nobody.
  link(
    'its device is in a bridge',
    'ip link add own0 type bridge; ip link set own0 up; ip link set "$dev" master own0; ip neigh flush dev "$dev"',
  ),
  link(
    'its device is in another namespace',
    'unshare -Urn sleep 600 >/dev/null 2>&1 & sleep 0.3; ip link set "$dev" netns $!',
  ),
  link('its device is gone', 'ip link del "$dev"'),
  link(
    'a wrong neighbour entry',
    'ip neigh replace "$gw" lladdr 02:00:00:00:00:99 dev "$dev" nud permanent',
  ),
  link('a tiny MTU', 'ip link set "$dev" mtu 576'),
  link('no addresses', 'ip address flush dev "$dev"'),

  firewall('nft output, far', nft(OUTPUT, [`ip daddr ${FAR.v4} drop`, `ip6 daddr ${FAR.v6} drop`])),
  firewall('nft output, all', nft(`${OUTPUT}; policy drop`, ['oif lo accept'])),
  firewall(
    'nft output, a set',
    nft(OUTPUT, ['ip daddr @far drop'], 'inet', [
      `set inet own far '{ type ipv4_addr; flags interval; }'`,
      `element inet own far '{ 10.99.0.0/16 }'`,
    ]),
  ),
  firewall('nft output, a port', nft(OUTPUT, [`tcp dport ${OTHER_PORT} reject with tcp reset`])),
  firewall('nft output, a user', nft(OUTPUT, ['meta skuid 1000 drop'])),
  firewall('nft output, a mark', nft(OUTPUT, ['meta mark 5 drop'])),
  firewall(
    'nft postrouting',
    nft('filter hook postrouting priority 0', [`ip daddr ${FAR.v4} drop`]),
  ),
  firewall('nft input', nft('filter hook input priority 0', [`ip saddr ${FAR.v4} drop`])),
  firewall(
    'nft prerouting',
    nft('filter hook prerouting priority -300', [`ip saddr ${FAR.v4} drop`]),
  ),
  firewall(
    'nft reroute',
    `${nft('route hook output priority -150', [`ip daddr ${FAR.v4} meta mark set 5`], 'ip')}${ruled('fwmark 5')}`,
  ),
  firewall(
    'nft redirection to another',
    nft(TRANSLATE, [`ip daddr ${FAR.v4} dnat to ${REMOTE.v4}`], 'ip'),
  ),
  firewall(
    'nft redirection to itself',
    nft(TRANSLATE, [`ip daddr ${FAR.v4} tcp dport ${PORT} redirect`], 'ip'),
  ),
  firewall(
    'nft service address',
    nft(TRANSLATE, [`ip daddr ${CLUSTER_IP} tcp dport ${PORT} dnat to ${FAR.v4}`], 'ip'),
  ),
  firewall(
    'nft service addresses in a map',
    nft(TRANSLATE, ['dnat to ip daddr map @services'], 'ip', [
      `map ip own services '{ type ipv4_addr : ipv4_addr; }'`,
      `element ip own services '{ ${CLUSTER_IP} : ${FAR.v4} }'`,
    ]),
  ),
  firewallOfDevice(
    'nft egress',
    nft('filter hook egress device $dev priority 0', [`ip daddr ${FAR.v4} drop`], 'netdev'),
  ),
  firewallOfDevice(
    'nft ingress',
    nft('filter hook ingress device $dev priority 0', [`ip saddr ${FAR.v4} drop`], 'netdev'),
  ),
  firewall('nft accepts only', nft(`${OUTPUT}; policy accept`, [`ip daddr ${FAR.v4} accept`])),
  firewall(
    'iptables-legacy',
    `iptables-legacy -A OUTPUT -d ${FAR.v4} -j DROP; ip6tables-legacy -A OUTPUT -d ${FAR.v6} -j DROP`,
  ),
  firewall('iptables-legacy, raw', `iptables-legacy -t raw -A OUTPUT -d ${FAR.v4} -j DROP`),
  firewall(
    'iptables-legacy, a mark and a rule',
    `iptables-legacy -t mangle -A OUTPUT -d ${FAR.v4} -j MARK --set-mark 5${ruled('fwmark 5')}`,
  ),
  firewall(
    'iptables-legacy, redirection',
    `iptables-legacy -t nat -A OUTPUT -d ${CLUSTER_IP} -j DNAT --to-destination ${FAR.v4}`,
  ),
  firewall('iptables-nft', `iptables-nft -A OUTPUT -d ${FAR.v4} -j DROP`),
  firewall(
    'iptables-nft, redirection',
    `iptables-nft -t nat -A OUTPUT -d ${CLUSTER_IP} -p tcp -j DNAT --to-destination ${FAR.v4}`,
  ),

  queue(
    'a queue that holds all',
    'tc qdisc replace dev "$dev" root tbf rate 8bit burst 10 limit 10',
  ),
  queue(
    'an egress filter that leads away',
    `ip link add own0 type veth peer name own1; ip link set own0 up; ip link set own1 up
tc qdisc add dev "$dev" clsact
tc filter add dev "$dev" egress protocol ip u32 match ip dst 10.99.0.0/16 action mirred egress redirect dev own0`,
  ),
  queue(
    'an ingress filter that leads away',
    `ip link add own0 type veth peer name own1; ip link set own0 up; ip link set own1 up
tc qdisc add dev "$dev" ingress
tc filter add dev "$dev" parent ffff: protocol ip u32 match ip src 10.99.0.0/16 action mirred egress redirect dev own0`,
  ),
  queue(
    'an IPsec policy that blocks',
    'ip xfrm policy add dir out src 0.0.0.0/0 dst 10.99.0.0/16 action block',
  ),
  queue(
    'an IPsec policy for answers',
    'ip xfrm policy add dir in src 10.99.0.0/16 dst 0.0.0.0/0 action block',
  ),
  queue(
    'an IPsec policy without a key',
    `ip xfrm policy add dir out src 0.0.0.0/0 dst 10.99.0.0/16 tmpl proto esp mode transport`,
  ),

  unshared('a namespace of its own', 'ip link set lo up'),
  unshared(
    'a bridge in a namespace of its own',
    `ip link set lo up\n${nowhere('ip link add own0 type bridge')}`,
  ),
  unshared(
    'a veth pair in a namespace of its own',
    `ip link set lo up\n${nowhere('ip link add own0 type veth peer name own1; ip link set own1 up')}`,
  ),
  inPod('a pod without a way', POD),
  inPod('a pod with a way', `${POD}${FORWARD}`),
  inPod(
    'a pod that the node shuts in',
    `${POD}${FORWARD}
nft add chain ip node shut '{ type filter hook forward priority 0; }'
nft add rule ip node shut ip saddr 10.200.0.2 drop`,
  ),
  { id: 'a node with pods', family: 'namespaces', needs: 'privileged', inside: `${POD}${FORWARD}` },

  podman('reload', 'podman network reload "$1"'),
  podman('disconnect', 'podman network disconnect "$2" "$1"'),
  podman(
    'disconnect and connect',
    'podman network disconnect "$2" "$1"; podman network connect "$2" "$1"',
  ),
  podman('another network', 'podman network connect reach-extra "$1"'),
  podman('another, internal network', 'podman network connect reach-inner "$1"'),
  podman('pause and unpause', 'podman pause "$1"; podman unpause "$1"', () => true),

  rootless(
    'forwarding to far dropped',
    `nft add table inet reach; nft add chain inet reach c '{ type filter hook forward priority 0; }'; nft add rule inet reach c ip daddr ${FAR.v4} drop`,
    'nft delete table inet reach',
  ),
  rootless(
    'unreachable far',
    `ip route add unreachable ${FAR.v4}`,
    `ip route del unreachable ${FAR.v4}`,
  ),
  rootless(
    'a rule for the bridges',
    'ip route add unreachable default table 100; ip rule add from 10.101.0.0/16 lookup 100',
    'ip rule del lookup 100; ip route del unreachable default table 100',
  ),
  rootless(
    'redirection of far',
    `nft add table ip reach; nft add chain ip reach c '{ type nat hook prerouting priority -100; }'; nft add rule ip reach c ip daddr ${FAR.v4} dnat to ${REMOTE.v4}`,
    'nft delete table ip reach',
  ),
];
