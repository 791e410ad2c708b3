// Queueing disciplines and filters of one namespace's devices (linux/rtnetlink.h, pkt_sched.h).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernel/netlink_message.h"

namespace sockswitch {

// One queueing discipline of a dump.
struct Qdisc {
  int device = 0;
  std::uint32_t handle = 0;
  std::uint32_t parent = 0;
  std::string kind;
};
// No value if it is malformed or no qdisc.
std::optional<Qdisc> parse_qdisc(const NetlinkMessage& message);

// What each device has that may drop, change or divert packets.
struct TrafficControl {
  std::map<int, std::string> devices;  // "qdisc htb", "tc filter"
  std::optional<std::string> trouble;  // applies to all devices

  // In words, with the device's name.
  std::optional<std::string> obstacle(int device, const std::string& name) const;
};

TrafficControl read_traffic_control(NetlinkSocket& socket);

}  // namespace sockswitch
