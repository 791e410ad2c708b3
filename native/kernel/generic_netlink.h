// Generic netlink (linux/genetlink.h): its families have numbers that the kernel gives at run time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/netlink_message.h"

namespace sockswitch {

struct GenericFamily {
  std::optional<std::uint16_t> number;  // none: this kernel, or this namespace, has no such family
  std::string trouble;                  // why it cannot be told; empty otherwise
};

// In the list of all families.
GenericFamily read_generic_family(const NetlinkAnswer& families, std::string_view name);

// `socket`: of NETLINK_GENERIC. Lists all families, since asking for one makes the kernel load its
// module.
GenericFamily find_generic_family(NetlinkSocket& socket, std::string_view name);

}  // namespace sockswitch
