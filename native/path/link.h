// Network devices of one namespace, as RTM_GETLINK tells them (rtnetlink(7)).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "kernel/netlink_message.h"

namespace sockswitch {

struct Link {
  int index = 0;
  std::string name;
  std::string kind;  // "veth", "bridge", "tun", ...; empty where the kernel names none
  bool up = false;
  bool resolves = true;  // addresses of neighbours (ip-link(8): arp on)
  int master = 0;        // ifindex of the bridge that it is a port of; 0: none
  int peer = 0;  // ifindex of a veth's other end, in the namespace with the number `peer_netns`
  // Of a bridge: it looks at VLAN tags. Of a port: it takes frames from anybody.
  bool filters_vlans = false;
  bool forwards = false;
  std::optional<int> peer_netns;  // none: the other end is in the same namespace
};

// No value if it is no link; exposed for tests and the fuzzer.
std::optional<Link> parse_link(const NetlinkMessage& message);

std::optional<Link> link_of(NetlinkSocket& socket, int index);
std::optional<Link> link_named(NetlinkSocket& socket, std::string_view name);
// Whether there is any device but the loopback; no value if that cannot be told.
std::optional<bool> has_links(NetlinkSocket& socket);
// Whether a device's neighbour entry for an address is one that somebody has set, so that packets
// go to another machine, perhaps, than to the one that has the address; no value if that cannot be
// told. RTM_GETNEIGH, Linux 5.0.
std::optional<bool> has_fixed_neighbour(NetlinkSocket& socket, int device, const Address& address);
// Whether a device answers ARP for addresses that its namespace would forward to by another device
// (net.ipv4.conf.DEVICE.proxy_arp, arp_process()); no value if that cannot be told.
std::optional<bool> answers_for_others(NetlinkSocket& socket, int device);
// Whether the namespace forwards packets of IPv6 (net.ipv6.conf.all.forwarding), for which a route
// answer does not stand, other than in IPv4; no value if that cannot be told.
std::optional<bool> forwards_ipv6(NetlinkSocket& socket);
// The number by which the socket's namespace knows another one, which descriptor `netns` of the
// calling thread's table holds; no value if it has none.
std::optional<int> number_of(NetlinkSocket& socket, int netns);

}  // namespace sockswitch
