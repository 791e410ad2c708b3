// What a guarded host socket is for (switch/guard_program.h has what it may receive then).
#pragma once

#include <compare>
#include <cstdint>

#include "base/ipv4_block.h"

namespace sockswitch {

enum class GuardKind : std::uint16_t {
  kClient,
  kNeighbour,
  kService,
  kPodClient,   // reaches public addresses of IPv4
  kPodNetwork,  // reaches one network: a pod's, too
  // A service whose socket may be pinned to the loopback device, too (publish/pins.h).
  kServiceAnywhere,
  kPodClientV6,  // reaches public addresses of IPv6
};

inline bool is_service(GuardKind kind) {
  return kind == GuardKind::kService || kind == GuardKind::kServiceAnywhere;
}

// What a client may hear: packets of both families, or of one.
enum class GuardFamily : std::uint16_t { kBoth, kV4, kV6 };

// What a socket is for, from which its role follows. `port` is 0 for a client and a pod's, `device`
// (ifindex) 0 for a service, whose `family` is kBoth; `network` is of kPodNetwork alone, one that
// may_be_listed().
struct GuardUse {
  GuardKind kind = GuardKind::kClient;
  std::uint16_t port = 0;
  int device = 0;
  GuardFamily family = GuardFamily::kBoth;
  Ipv4Block network{};

  auto operator<=>(const GuardUse&) const = default;
};

}  // namespace sockswitch
