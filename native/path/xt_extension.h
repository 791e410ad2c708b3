// Matches and targets of xtables, as legacy tables and nftables' compatibility layer have them.
#pragma once

#include <cstdint>
#include <string>

#include "kernel/netlink_message.h"
#include "path/filter_rules.h"
#include "path/known_bits.h"
#include "path/packet_facts.h"

namespace sockswitch {

// A match is evaluated by evaluate_xt_match(); one that is not known is "perhaps".
FilterOperation xt_match_operation(std::string name, std::uint32_t revision, NetlinkBytes info);
// A target that is not known may do anything.
FilterOperation xt_target_operation(const std::string& name, std::uint32_t revision,
                                    NetlinkBytes info);

// What a match is evaluated on.
struct XtPacket {
  const PacketFacts& packet;
  std::uint32_t mark = 0;
  std::uint32_t known_mark = 0;  // which bits of it are known
  bool tracked = true;           // it has a connection, which is new
  bool in_known = true;          // packet.in is what this hook shows
};

Tristate evaluate_xt_match(const FilterOperation& match, const XtPacket& packet);
// Of kXtPacket: what stands in a rule itself (addresses, devices, protocol).
Tristate evaluate_xt_packet(const FilterOperation& match, const XtPacket& packet);

}  // namespace sockswitch
