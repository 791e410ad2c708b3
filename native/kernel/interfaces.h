// The addresses of this process's network namespace, as getifaddrs(3) tells them.
#pragma once

#include <vector>

#include "base/address.h"

namespace sockswitch {

struct InterfaceAddress {
  int device = 0;  // ifindex
  bool loopback = false;
  bool up = false;
  Address address;
};

// IPv4 and IPv6, of devices in any state, in the kernel's order. Throws ErrnoError.
std::vector<InterfaceAddress> interface_addresses();

}  // namespace sockswitch
