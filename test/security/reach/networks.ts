/**
 * The networks that containers of the matrix are on: each kind that Podman offers, each option of the fallback programs that says
 * something about reach, and what people build of these (gateways, pods, joined namespaces).
 *
 * Scripts are for bash on host1, as its user. Everything that they make has the label `reach`, or a name that begins with it.
 * Bridge networks are 10.101.N.0/24 and fd01:N::/64; a container `near` is .20 on them, a gateway container .2.
 */
import { VOLUME } from '../support/stage.js';
import { PORTS } from './destinations.js';

export interface NetworkKind {
  readonly id: string;
  readonly family: string;
  /** Of `podman run`; `NAME` stands for the container's name. */
  readonly options: readonly string[];
  /** Networks and other containers, made before both twins. */
  readonly setUp?: string;
  /** Before each twin ($1: its name), and after its start. */
  readonly before?: string;
  readonly afterStart?: string;
  /** The Podman network's name, where there is one to disconnect and reload. */
  readonly network?: string;
  /** N of the bridge's addresses. */
  readonly bridge?: number;
  /** Nobody needs to wait for IPv6. */
  readonly noIpv6?: true;
  /** No device except lo. */
  readonly noDevice?: true;
  /** A common container: its connections to remote and far must be switched. */
  readonly common?: true;
  readonly image?: string;
}

const SERVE = `/attacks/reach serve`;
const WHERE = VOLUME.join(' ');

function network(name: string, n: number, options = ''): string {
  return `podman network create ${options} --subnet 10.101.${n}.0/24 --ip-range 10.101.${n}.64/26 --ipv6 --subnet fd01:${n}::/64 ${name}`;
}

function near(name: string, n: number): string {
  return `podman run -d --label reach --name near-${n} --network ${name}:ip=10.101.${n}.20,ip6=fd01:${n}::20 ${WHERE} localhost/lab ${SERVE} near-${n} ${PORTS} ::`;
}

const bridge = (
  id: string,
  n: number,
  options = '',
  more: Partial<NetworkKind> = {},
): NetworkKind => ({
  id,
  family: 'bridge',
  options: [`--network=reach-${n}`],
  setUp: [network(`reach-${n}`, n, options), near(`reach-${n}`, n), more.setUp ?? ''].join('\n'),
  network: `reach-${n}`,
  bridge: n,
  ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== 'setUp')),
});

const pasta = (options: string, more: Partial<NetworkKind> = {}): NetworkKind => ({
  id: options === '' ? 'pasta' : `pasta:${options}`,
  family: options === '' ? 'pasta' : 'pasta with options',
  options: [`--network=${options === '' ? 'pasta' : `pasta:${options}`}`],
  ...more,
});

const slirp = (options: string, more: Partial<NetworkKind> = {}): NetworkKind => ({
  id: options === '' ? 'slirp4netns' : `slirp4netns:${options}`,
  family: options === '' ? 'slirp4netns' : 'slirp4netns with options',
  options: [`--network=${options === '' ? 'slirp4netns' : `slirp4netns:${options}`}`],
  ...more,
});

/** A gateway container at .2 of network N. */
function gateway(n: number, options: string, script: string): string {
  return `podman run -d --label reach --name gateway-${n} --privileged ${options} ${WHERE} localhost/lab bash -c '${script}; exec sleep infinity'`;
}
const FORWARD =
  'echo 1 >/proc/sys/net/ipv4/ip_forward; nft add table ip n; nft add chain ip n p "{ type nat hook postrouting priority 100; }"; nft add rule ip n p masquerade';

/** A namespace whose default route is a tun that nobody reads, as of a VPN that is down. */
const VPN_DOWN = `ip tuntap add dev vpn0 mode tun; ip address add 10.9.7.2/24 dev vpn0; ip link set vpn0 up; ip route replace default dev vpn0; ip -6 route del default; ip -6 route add unreachable default`;
const joins = (
  id: string,
  options: string,
  script: string,
  more: Partial<NetworkKind> = {},
): NetworkKind => ({
  id: `container: (${id})`,
  family: 'container:',
  options: ['--network=container:owner-NAME'],
  before: `podman run -d --label reach --name owner-"$1" ${options} --cap-add=NET_ADMIN --device /dev/net/tun localhost/lab bash -c '${script}; exec sleep infinity'
sleep 0.5`,
  ...more,
});

const pod = (id: string, options: string, more: Partial<NetworkKind> = {}): NetworkKind => ({
  id: `pod on ${id}`,
  family: 'pod',
  options: ['--pod=reach-pod-NAME'],
  before: `podman pod create --label reach --name reach-pod-"$1" ${options}`,
  ...more,
});

export const NETWORK_KINDS: readonly NetworkKind[] = [
  { id: 'none', family: 'none', options: ['--network=none'], noIpv6: true, noDevice: true },
  bridge('internal', 1, '--internal', { family: 'internal', noIpv6: true }),
  pasta('', { common: true }),
  pasta('--no-tcp'),
  pasta('--outbound,10.77.0.111'),
  pasta('--outbound,10.77.0.111,--outbound,fd77::111'),
  pasta('--outbound-if4,eth0,--outbound-if6,eth0'),
  pasta('--ipv4-only', { noIpv6: true }),
  pasta('--ipv6-only'),
  pasta('--map-guest-addr,192.0.2.55'),
  pasta('--map-guest-addr,10.99.0.1'),
  pasta('--map-guest-addr,none'),
  pasta('--map-host-loopback,192.0.2.56'),
  pasta('--map-host-loopback,10.99.0.1'),
  pasta('--dns-forward,192.0.2.53'),
  pasta('--dns-forward,10.99.0.1'),
  pasta('--map-gw'),
  pasta('--no-map-gw'),
  pasta('--address,10.77.0.50'),
  pasta('--address,10.55.0.2,--netmask,24,--gateway,10.55.0.1'),
  pasta('--ns-ifname,tap7'),
  pasta('--mtu,1400'),
  pasta('--no-ndp,--no-dhcp,--no-ra', { noIpv6: true }),
  pasta('-T,18100'),
  slirp('', { common: true }),
  slirp('outbound_addr=10.77.0.111'),
  slirp('outbound_addr6=fd77::111'),
  slirp('outbound_addr=eth0'),
  slirp('enable_ipv6=false', { noIpv6: true }),
  slirp('cidr=10.77.0.0/24'),
  slirp('cidr=10.99.0.0/24'),
  slirp('allow_host_loopback=true'),
  slirp('mtu=1400'),
  bridge('bridge', 2, '', { common: true }),
  bridge('two bridges', 3, '', {
    options: ['--network=reach-3:interface_name=eth0', '--network=reach-31:interface_name=eth1'],
    setUp: `${network('reach-31', 31)}\n${near('reach-31', 31)}`,
  }),
  bridge('internal and bridge', 4, '--internal', {
    options: ['--network=reach-4:interface_name=eth0', '--network=reach-41:interface_name=eth1'],
    setUp: network('reach-41', 41),
  }),
  bridge('no default route', 5, '-o no_default_route=1', { noIpv6: true }),
  bridge(
    'gateway container that does not forward',
    6,
    '-o no_default_route=1 --route 0.0.0.0/0,10.101.6.2',
    {
      family: 'gateway container',
      noIpv6: true,
      setUp: gateway(6, '--network reach-6:ip=10.101.6.2', 'true'),
    },
  ),
  bridge(
    'gateway container that forwards',
    7,
    '-o no_default_route=1 --route 0.0.0.0/0,10.101.7.2',
    {
      family: 'gateway container',
      noIpv6: true,
      setUp: `${network('reach-71', 71)}\n${gateway(7, '--network reach-71 --network reach-7:ip=10.101.7.2', `ip route del default via 10.101.7.2; ${FORWARD}`)}`,
    },
  ),
  bridge('route through a container', 8, '--route 10.99.0.0/16,10.101.8.2', {
    family: 'gateway container',
    setUp: gateway(8, '--network reach-8:ip=10.101.8.2', 'true'),
  }),
  bridge('route through the gateway', 9, '--route 10.99.0.0/16,10.101.9.1'),
  bridge('isolate', 10, '-o isolate=true', {
    setUp: `${network('reach-101', 101, '-o isolate=true')}\n${near('reach-101', 101)}`,
  }),
  bridge('metric and mtu', 11, '-o metric=50 -o mtu=1400'),
  {
    ...bridge('IPv6 only', 12),
    setUp: `podman network create --subnet fd01:12::/64 reach-12
podman run -d --label reach --name near-12 --network reach-12:ip6=fd01:12::20 ${WHERE} localhost/lab ${SERVE} near-12 ${PORTS} ::`,
  },
  {
    id: 'macvlan',
    family: 'macvlan',
    options: ['--network=reach-macvlan'],
    setUp: `podman network create -d macvlan -o parent=eth0 --subnet 10.77.0.0/24 --gateway 10.77.0.1 --ip-range 10.77.0.192/28 reach-macvlan
${network('reach-13', 13)}\n${near('reach-13', 13)}`,
    bridge: 13,
    noIpv6: true,
  },
  bridge('bridge and restarted', 14, '', { afterStart: 'podman restart --time 0 "$1"' }),
  { ...pasta(''), id: 'pasta and restarted', afterStart: 'podman restart --time 0 "$1"' },
  bridge('joined later', 15, '', {
    options: ['--network=reach-15'],
    setUp: network('reach-151', 151),
    afterStart: 'podman network connect reach-151 "$1"',
  }),
  pod('pasta', '--network pasta'),
  pod('slirp4netns', '--network slirp4netns'),
  {
    ...bridge('pod on a bridge', 16),
    family: 'pod',
    options: ['--pod=reach-pod-NAME'],
    before: 'podman pod create --label reach --name reach-pod-"$1" --network reach-16',
  },
  pod('none', '--network none', { noIpv6: true, noDevice: true }),
  joins('pasta', '--network pasta', 'true'),
  joins('VPN that is down', '--network pasta', VPN_DOWN, { noIpv6: true }),
  joins('unreachable', '--network pasta', 'ip route add unreachable 10.99.0.0/16'),
  joins(
    'firewall',
    '--network pasta',
    'nft add table inet v; nft add chain inet v o "{ type filter hook output priority 0; }"; nft add rule inet v o ip daddr 10.99.0.1 drop',
  ),
  {
    ...pasta(''),
    id: 'pasta, keep-id',
    family: 'user namespace',
    options: ['--network=pasta', '--userns=keep-id', '--user=0'],
    image: 'localhost/tiny',
  },
  {
    ...pasta(''),
    id: 'pasta, userns auto',
    family: 'user namespace',
    options: ['--network=pasta', '--userns=auto'],
    image: 'localhost/tiny',
  },
];
