#include "kernel/netlink.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>

namespace sockswitch {
namespace {

constexpr int kMaxDrained = 256;  // messages at a time

}  // namespace

UniqueFd open_route_socket() { return open_netlink(NETLINK_ROUTE); }

UniqueFd open_route_monitor() {
  constexpr int kGroups[] = {RTNLGRP_LINK,      RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE,
                             RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE,
                             RTNLGRP_IPV6_RULE};
  return open_netlink(NETLINK_ROUTE, kGroups);
}

void drain_monitor(int fd) {
  char buffer[8192];
  // Not for ever: a container that changes its routes all the time must let others be looked at.
  for (int i = 0; i < kMaxDrained; ++i) {
    ssize_t got = ::recv(fd, buffer, sizeof buffer, MSG_TRUNC);
    // ENOBUFS: the kernel dropped messages, which is a change like any other.
    if (got == 0 || (got < 0 && errno != ENOBUFS && errno != EINTR)) return;
  }
}

}  // namespace sockswitch
