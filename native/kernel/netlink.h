// NETLINK_ROUTE sockets: one to ask with, one that is told of changes. path/routing.h asks.
#pragma once

#include <linux/neighbour.h>

#include "base/unique_fd.h"
#include "kernel/netlink_message.h"

namespace sockswitch {

// A NETLINK_ROUTE socket in the calling thread's namespace. Throws ErrnoError.
UniqueFd open_route_socket();
// One that is told of every change of routes, rules, links and addresses. Non-blocking.
UniqueFd open_route_monitor();
// ... and of neighbour entries: of everything that decides where a packet goes.
UniqueFd open_packet_monitor();
// Whether somebody has set a neighbour entry, so that no address resolution changes it
// (ip-neighbour(8): permanent, noarp).
inline bool is_fixed(const ndmsg& entry) {
  return (entry.ndm_state & (NUD_PERMANENT | NUD_NOARP)) != 0;
}
// Reads and drops what is waiting on a monitor; not all of it if that is much. Whether there was
// anything.
bool drain_monitor(int fd);
// The same for a packet monitor. Whether anything waited there but what address resolution (ARP,
// neighbour discovery) finds out by itself all the time.
[[nodiscard]] bool drain_packet_monitor(int fd);

}  // namespace sockswitch
