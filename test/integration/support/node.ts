/**
 * A node-like container: privileged, with a bridge and namespaces beside its own as pods, whose packets it forwards and
 * masquerades, as a container network plugin has it.
 *
 * `pod1` and `pod2` are ports of the bridge `cni0`, `pod3` has a routed veth (as the plugin "ptp" makes it), `pod4` one with
 * a gateway that is nobody's address (as Calico makes it: the node answers ARP for it).
 */
import { type Container, type ContainerOptions, startContainer } from './podman.js';

/** The rules by which the node translates its pods' addresses, and what makes them. */
const MASQUERADE = 'ip saddr 10.200.0.0/15 ip daddr != 10.200.0.0/15 masquerade';
export const MASQUERADE6 = 'ip6 saddr fd00:10:244::/48 ip6 daddr != fd00:10:244::/48 masquerade';
export const TRANSLATE = `nft 'add rule ip nat post ${MASQUERADE}'`;
export const TRANSLATE6 = `nft 'add rule ip6 nat post ${MASQUERADE6}'`;

export const MAKE_NODE = `
set -e
echo 1 >/proc/sys/net/ipv4/ip_forward
ip link add cni0 type bridge forward_delay 0
ip address add 10.200.0.1/24 dev cni0
ip link set cni0 up
pod() { # NUMBER ADDRESS GATEWAY
  ip netns add pod$1
  ip link add veth$1 type veth peer name eth0 netns pod$1
  ip link set veth$1 up
  in="nsenter --net=/run/netns/pod$1"
  $in ip address add $2 dev eth0
  $in ip link set eth0 up
  $in ip link set lo up
  $in ip route add default via $3 $4
}
pod 1 10.200.0.11/24 10.200.0.1
pod 2 10.200.0.12/24 10.200.0.1
ip link set veth1 master cni0
ip link set veth2 master cni0
ip address add 10.201.0.1/32 dev lo
pod 3 10.201.0.2/32 10.201.0.1 "dev eth0 onlink"
ip address del 10.201.0.1/32 dev lo
ip address add 10.201.0.1/32 dev veth3
ip route add 10.201.0.2/32 dev veth3
pod 4 10.201.1.4/32 169.254.1.1 "dev eth0 onlink"
nsenter --net=/run/netns/pod4 ip route add 169.254.1.1 dev eth0 scope link
ip link set veth4 address ee:ee:ee:ee:ee:ee
echo 0 >/proc/sys/net/ipv4/neigh/veth4/proxy_delay
echo 1 >/proc/sys/net/ipv4/conf/veth4/proxy_arp
ip route add 10.201.1.4/32 dev veth4 scope link
nft add table ip nat
nft 'add chain ip nat post { type nat hook postrouting priority srcnat; }'
${TRANSLATE}
`;

/**
 * IPv6 beside it, in a node whose network has that: `pod1` has the bridge's address as gateway, `pod2` and `pod3` a link-local one of
 * the node's, as kindnet and Calico have it.
 */
export const MAKE_IPV6 = `
set -e
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
ip address add fd00:10:244::1/64 dev cni0 nodad
ip address add fe80::1/64 dev cni0 nodad
pod() { # NUMBER ADDRESS GATEWAY
  in="nsenter --net=/run/netns/pod$1"
  $in ip address add $2 dev eth0 nodad
  $in ip route add default via $3 dev eth0
}
pod 1 fd00:10:244::11/64 fd00:10:244::1
pod 2 fd00:10:244::12/64 fe80::1
ip address add fe80::1/64 dev veth3 nodad
pod 3 fd00:10:244:1::2/128 fe80::1
ip route add fd00:10:244:1::2/128 dev veth3
nft add table ip6 nat
nft 'add chain ip6 nat post { type nat hook postrouting priority srcnat; }'
${TRANSLATE6}
`;

// Not "ip netns exec" or "ip -n", which want to mount a sysfs and may not in a rootless container.
export const inPod = (number: number) => `nsenter --net=/run/netns/pod${number}`;

export async function startNode(options: ContainerOptions): Promise<Container> {
  const node = await startContainer({
    ...options,
    args: ['--privileged', ...(options.args ?? [])],
  });
  await node.output(['bash', '-c', MAKE_NODE]);
  return node;
}
