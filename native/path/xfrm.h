// IPsec policies of one namespace (linux/xfrm.h).
#pragma once

#include <optional>
#include <string>

#include "kernel/netlink_message.h"

namespace sockswitch {

// What the answers to XFRM_MSG_GETSPDINFO and, from Linux 5.14 on, XFRM_MSG_GETDEFAULT say, in
// words; no value: no policy, and packets without one pass. Malformed answers are words, too.
std::optional<std::string> xfrm_obstacle(const NetlinkMessage& spd_info);
std::optional<std::string> xfrm_default_obstacle(const NetlinkMessage& defaults);

// Asks both.
std::optional<std::string> read_xfrm(NetlinkSocket& socket);

}  // namespace sockswitch
