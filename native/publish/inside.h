// Reaching a service in its container, by sockets made in the container's network namespace.
#pragma once

#include "kernel/netns.h"
#include "policy/address.h"

namespace sockswitch {

// An address outside, for which there is a route if there is a way out: one for documentation (RFC
// 5737, RFC 3849).
Address outside_address(int domain);

// The address that a container has towards the outside. Not loopback where it has another one:
// services trust loopback.
Address container_address(const SocketSource& source, int domain);

}  // namespace sockswitch
