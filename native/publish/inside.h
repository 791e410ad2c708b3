// Reaching a service in its container, by sockets made in the container's network namespace.
#pragma once

#include "kernel/netns.h"
#include "policy/address.h"

namespace sockswitch {

// The address that a container has towards the outside. Not loopback where it has another one:
// services trust loopback.
Address container_address(const SocketSource& source, int domain);

}  // namespace sockswitch
