// The addresses of network devices, as RTM_GETADDR lists them (rtnetlink(7)).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/unique_fd.h"
#include "kernel/netlink_message.h"

namespace sockswitch {

struct DeviceAddress {
  int device = 0;          // ifindex
  int domain = 0;          // AF_INET or AF_INET6
  std::uint8_t flags = 0;  // IFA_F_*, as far as ifaddrmsg has them
  // The device's own; no value where the message is malformed.
  std::optional<Address> own;
};

// No value if it is no address at all. Exposed for tests and the fuzzer.
std::optional<DeviceAddress> parse_device_address(const NetlinkMessage& message);

// The question, for a family (AF_UNSPEC: both), and what a complete answer to it says, in the
// kernel's order.
NetlinkAnswer ask_for_addresses(NetlinkSocket& socket, int domain);
std::vector<DeviceAddress> read_addresses(const NetlinkAnswer& answer);

// Whether a device owns an address, and found no other owner of it; no value if that cannot be
// told.
std::optional<bool> owns_address(NetlinkSocket& socket, int device, const Address& address);

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
