// NETLINK_ROUTE sockets: one to ask with, one that is told of changes. path/routing.h asks.
#pragma once

#include "kernel/netlink_message.h"
#include "kernel/unique_fd.h"

namespace sockswitch {

// A NETLINK_ROUTE socket in the calling thread's namespace. Throws ErrnoError.
UniqueFd open_route_socket();
// One that is told of every change of routes, rules, links and addresses. Non-blocking.
UniqueFd open_route_monitor();
// Reads and drops what is waiting on a monitor; not all of it if that is much.
void drain_monitor(int fd);

}  // namespace sockswitch
