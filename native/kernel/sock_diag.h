// Which sockets of this network namespace hold a port: asked of the kernel (sock_diag(7)), which
// answers anybody.
#pragma once

#include <cstdint>
#include <vector>

#include "policy/address.h"

namespace sockswitch {

struct PortHolder {
  int domain = 0;  // AF_INET or AF_INET6
  Address address;
  int device = 0;  // ifindex that it is bound to; 0: none
  bool v6_only = false;
  std::uint32_t inode = 0;
  std::uint32_t uid = 0;
};

// TCP sockets that listen on `port`, or UDP sockets that are bound to it, in the calling thread's
// namespace. `protocol`: IPPROTO_TCP or IPPROTO_UDP. Throws ErrnoError.
std::vector<PortHolder> find_port_holders(int protocol, std::uint16_t port);

}  // namespace sockswitch
