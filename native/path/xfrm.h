// IPsec policies of one namespace (linux/xfrm.h).
#pragma once

#include <optional>
#include <string>

#include "kernel/netlink_message.h"

namespace sockswitch {

// Whether the answer to XFRM_MSG_GETSPDINFO counts any policy, and whether the one to
// XFRM_MSG_GETDEFAULT (Linux 5.14) blocks packets without one. No value: malformed.
std::optional<bool> has_xfrm_policies(const NetlinkMessage& spd_info);
std::optional<bool> blocks_by_default(const NetlinkMessage& defaults);

struct Xfrm {
  std::optional<std::string> obstacle;  // in words
  std::optional<std::string> trouble;   // why that is not known
};

// Asks both.
Xfrm read_xfrm(NetlinkSocket& socket);

}  // namespace sockswitch
