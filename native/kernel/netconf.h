// Settings of network devices: net.ipv4.conf.DEVICE.* and net.ipv6's as RTM_GETNETCONF reports them
// (linux/netconf.h; NETCONFA_PROXY_NEIGH since Linux 3.14).
#pragma once

#include <cstdint>
#include <optional>

#include "kernel/netlink_message.h"

namespace sockswitch {

// `device`: an ifindex, or NETCONFA_IFINDEX_ALL for net.ipv4.conf.all. `setting`: NETCONFA_*. No
// value if that cannot be told.
std::optional<std::uint32_t> ipv4_setting(NetlinkSocket& socket, int device, std::uint16_t setting);
std::optional<std::uint32_t> ipv6_setting(NetlinkSocket& socket, int device, std::uint16_t setting);

}  // namespace sockswitch
