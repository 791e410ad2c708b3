#include "kernel/netlink.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <vector>

namespace sockswitch {
namespace {

constexpr int kRouteGroups[] = {RTNLGRP_LINK,      RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE,
                                RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE,
                                RTNLGRP_IPV6_RULE};
constexpr int kMaxDrained = 256;  // messages at a time

// Gives what waits to `see`: nothing for what the kernel has dropped, or is too long.
template <typename See>
void drain(int fd, See see) {
  std::array<std::uint8_t, 8192> buffer{};
  // Not for ever: a container that changes its routes all the time must let others be looked at.
  for (int i = 0; i < kMaxDrained; ++i) {
    ssize_t got = ::recv(fd, buffer.data(), buffer.size(), MSG_TRUNC);
    // ENOBUFS: the kernel dropped messages, which is a change like any other.
    if (got == 0 || (got < 0 && errno != ENOBUFS && errno != EINTR)) return;
    const auto size = static_cast<std::size_t>(std::max<ssize_t>(got, 0));
    see(size <= buffer.size() ? NetlinkBytes(buffer.data(), size) : NetlinkBytes());
  }
  see(NetlinkBytes());  // there may be more, and nobody knows what it says
}

// Whether all of it is about neighbour entries that come and go by themselves.
bool is_resolution(NetlinkBytes datagram) {
  NetlinkMessages messages(datagram);
  bool any = false;
  for (NetlinkMessage message; messages.next(message);) {
    auto entry = message.header<ndmsg>();
    if (message.type != RTM_NEWNEIGH || !entry || is_fixed(*entry)) return false;
    any = true;
  }
  return any && messages.ok();
}

}  // namespace

UniqueFd open_route_socket() { return open_netlink(NETLINK_ROUTE); }

UniqueFd open_route_monitor() { return open_netlink(NETLINK_ROUTE, kRouteGroups); }

UniqueFd open_packet_monitor() {
  std::vector<int> groups(std::begin(kRouteGroups), std::end(kRouteGroups));
  groups.push_back(RTNLGRP_NEIGH);
  groups.push_back(RTNLGRP_IPV4_NETCONF);  // forwarding, rp_filter
  groups.push_back(RTNLGRP_IPV6_NETCONF);  // forwarding
  return open_netlink(NETLINK_ROUTE, groups);
}

bool drain_monitor(int fd) {
  bool any = false;
  drain(fd, [&](NetlinkBytes) { any = true; });
  return any;
}

bool drain_packet_monitor(int fd) {
  bool changed = false;
  drain(fd, [&](NetlinkBytes datagram) { changed = changed || !is_resolution(datagram); });
  return changed;
}

}  // namespace sockswitch
