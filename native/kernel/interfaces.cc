#include "kernel/interfaces.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <memory>
#include <optional>

#include "base/errno_error.h"

namespace sockswitch {
namespace {

std::optional<Address> address_of(const sockaddr* raw) {
  if (!raw) return {};
  if (raw->sa_family == AF_INET) {
    return Address::from_v4(reinterpret_cast<const sockaddr_in*>(raw)->sin_addr);
  }
  if (raw->sa_family == AF_INET6) {
    return Address::from_v6(reinterpret_cast<const sockaddr_in6*>(raw)->sin6_addr);
  }
  return {};
}

}  // namespace

std::vector<InterfaceAddress> interface_addresses() {
  struct ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) throw_errno("getifaddrs");
  const std::unique_ptr<struct ifaddrs, void (*)(struct ifaddrs*)> owner(list, ::freeifaddrs);
  std::vector<InterfaceAddress> found;
  for (const auto* entry = list; entry; entry = entry->ifa_next) {
    const auto address = address_of(entry->ifa_addr);
    if (!address) continue;
    found.push_back({.device = static_cast<int>(::if_nametoindex(entry->ifa_name)),
                     .loopback = (entry->ifa_flags & IFF_LOOPBACK) != 0,
                     .up = (entry->ifa_flags & IFF_UP) != 0,
                     .address = *address});
  }
  return found;
}

}  // namespace sockswitch
