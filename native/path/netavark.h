// What netavark's rules in the namespace of Podman's bridges do to a container's packet: those of
// its nftables driver (table inet netavark, since 1.11) and of its iptables driver (chains
// NETAVARK*, in legacy tables or nftables' compatible ones).
//
// The names only say which rules are expected there; what they do is evaluated. Any other rule that
// could see the packet or its replies is foreign.
#pragma once

#include "path/filter_rules.h"
#include "path/firewall.h"
#include "path/packet_facts.h"

namespace sockswitch {

// `rules` is one of nftables' and legacy tables' together: see Firewall::forwarded().
Forwarded forwarded_by(const FilterRules& rules, const PacketFacts& packet);

}  // namespace sockswitch
