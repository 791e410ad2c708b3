// Virtual services of IPVS in one namespace (linux/ip_vs.h, generic netlink).
//
// Untried on a real kernel: the one that this was written on has no IPVS. The messages are those of
// linux/ip_vs.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernel/netlink_message.h"
#include "path/packet_facts.h"

namespace sockswitch {

struct IpvsService {
  int family = 0;  // AF_INET, AF_INET6
  int protocol = 0;
  std::optional<Address> address;  // no value: whatever has a firewall mark
  std::uint16_t port = 0;          // 0: all
};

// No value if the message (IPVS_CMD_NEW_SERVICE) is malformed.
std::optional<IpvsService> parse_ipvs_service(const NetlinkMessage& message);

struct Ipvs {
  std::vector<IpvsService> services;
  std::optional<std::string> trouble;

  bool may_translate(const PacketFacts& packet) const;
};

// Loads no module: the kernel is asked for all families, not for this one.
Ipvs read_ipvs(NetlinkSocket& socket);

}  // namespace sockswitch
