#include "kernel/device_addresses.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/errno_error.h"

namespace sockswitch {

std::optional<DeviceAddress> parse_device_address(const NetlinkMessage& message) {
  if (message.type != RTM_NEWADDR) return {};
  const auto header = message.header<ifaddrmsg>();
  if (!header) return {};
  DeviceAddress found{.device = static_cast<int>(header->ifa_index),
                      .domain = header->ifa_family,
                      .flags = header->ifa_flags};
  std::optional<Address> local;
  std::optional<Address> address;  // the other end's, where there is an IFA_LOCAL
  const bool whole = walk_attributes(message.attributes(sizeof(ifaddrmsg)),
                                     [&](const NetlinkAttribute& attribute) {
                                       if (attribute.type == IFA_LOCAL) local = attribute.address();
                                       if (attribute.type == IFA_ADDRESS)
                                         address = attribute.address();
                                     });
  if (whole) found.own = local ? local : address;
  return found;
}

NetlinkAnswer ask_for_addresses(NetlinkSocket& socket, int domain) {
  NetlinkRequest request(RTM_GETADDR, NLM_F_DUMP);
  request.header(ifaddrmsg{.ifa_family = static_cast<std::uint8_t>(domain)});
  return socket.ask(request);
}

std::vector<DeviceAddress> read_addresses(const NetlinkAnswer& answer) {
  std::vector<DeviceAddress> found;
  NetlinkMessages walk = answer.messages();
  for (NetlinkMessage message; walk.next(message);) {
    if (const auto one = parse_device_address(message)) found.push_back(*one);
  }
  return found;
}

std::optional<bool> owns_address(NetlinkSocket& socket, int device, const Address& address) {
  const auto answer = ask_for_addresses(socket, address.is_v4() ? AF_INET : AF_INET6);
  if (!answer.complete()) return {};
  for (const DeviceAddress& one : read_addresses(answer)) {
    if (one.device != device) continue;
    if (!one.own) return {};
    if (*one.own == address) return (one.flags & IFA_F_DADFAILED) == 0;
  }
  return false;
}

std::vector<Address> DeviceAddresses::of(int device, std::size_t most) {
  const auto answer = ask_for_addresses(socket_, AF_UNSPEC);
  if (!answer.complete()) throw ErrnoError(answer.error(), "recv", "RTM_GETADDR");
  std::vector<Address> found;
  for (const DeviceAddress& one : read_addresses(answer)) {
    if (one.device != device) continue;
    if (found.size() == most) break;
    if (!one.own) throw ErrnoError(EPROTO, "recv", "RTM_GETADDR");
    found.push_back(*one.own);
  }
  return found;
}

}  // namespace sockswitch
