// The addresses of one network device, asked over a NETLINK_ROUTE socket.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "kernel/netlink_message.h"
#include "kernel/unique_fd.h"
#include "policy/address.h"

namespace sockswitch {

class DeviceAddresses {
 public:
  // Takes a NETLINK_ROUTE socket of the namespace to ask.
  explicit DeviceAddresses(UniqueFd netlink) : socket_(std::move(netlink)) {}

  // At most `most` of the addresses that `device` (ifindex) has, IPv4 and IPv6, in the kernel's
  // order; none for a device that does not exist. Throws ErrnoError.
  std::vector<Address> of(int device, std::size_t most);

 private:
  NetlinkSocket socket_;
};

}  // namespace sockswitch
