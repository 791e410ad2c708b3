/** The rows of docs/compatibility.md, in order. Ids are what tests record. */

export interface BehaviourText {
  readonly id: string;
  readonly text: string;
}

export const BEHAVIOURS: readonly BehaviourText[] = [
  { id: 'tcp-lan-v4', text: "TCP over IPv4 to a machine on the host's LAN" },
  { id: 'tcp-lan-v6', text: "TCP over IPv6 to a machine on the host's LAN" },
  { id: 'tcp-far-v4', text: 'TCP over IPv4 through the gateway' },
  { id: 'tcp-far-v6', text: 'TCP over IPv6 through the gateway' },
  { id: 'tcp-own-process', text: "TCP of the container's own process (not of an exec)" },
  { id: 'tcp-refused', text: 'A port where nothing listens: `ECONNREFUSED`' },
  { id: 'tcp-unroutable', text: "A destination that the host cannot reach: the host's `errno`" },
  { id: 'tcp-no-route', text: 'A destination that the container has no route to: same `errno`' },
  { id: 'ignored', text: 'A destination on the ignore list (`sockswitch/ignore`)' },
  { id: 'dns', text: "DNS through the network's resolver" },
  { id: 'dns-aardvark', text: 'Names of other containers (aardvark-dns)' },
  { id: 'neighbour', text: 'Container to container' },
  { id: 'icmp-v4', text: 'ICMP: `ping`' },
  { id: 'icmp-v6', text: 'ICMPv6: `ping`' },
  { id: 'udp-v4', text: 'UDP over IPv4' },
  { id: 'udp-v6', text: 'UDP over IPv6' },
  { id: 'loopback', text: "The container's loopback (IPv4 and IPv6)" },
  { id: 'unix', text: 'AF_UNIX sockets' },
  { id: 'netlink', text: 'Netlink (`ip address`)' },
  { id: 'host-internal', text: "`host.containers.internal`: a server on the host's address" },
  { id: 'host-loopback', text: "A server on the host's loopback" },
  { id: 'nested-netns', text: 'Nested network namespaces in a privileged container' },
  { id: 'vxlan', text: 'VXLAN between containers on two hosts, UDP 8472 published' },
  { id: 'daemon-down', text: 'A container that starts while the daemon is down' },
  { id: 'daemon-down-required', text: 'The same with `sockswitch/required=true`' },
];
