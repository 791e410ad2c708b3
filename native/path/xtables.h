// Legacy iptables, ip6tables and arptables of one namespace (linux/netfilter_ipv4/ip_tables.h and
// its kin).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "path/filter_rules.h"
#include "path/firewall_sockets.h"

namespace sockswitch {

// What the kernel says of a table (struct ipt_getinfo); hooks that are not valid have no meaning.
struct XtTableInfo {
  std::string name;
  std::uint32_t valid_hooks = 0;  // bits
  std::array<std::uint32_t, 5> hook_entry{};
  std::array<std::uint32_t, 5> underflow{};
};

// Adds the chains of one table, `entries` as IPT_SO_GET_ENTRIES has them. False if they are
// malformed; what was added then is of no use. For tests and the fuzzer, too.
[[nodiscard]] bool parse_xtables(FilterChain::Origin origin, const XtTableInfo& info,
                                 std::span<const std::uint8_t> entries, FilterRules& rules);

// All three. A table is asked for only where the namespace has it, because the kernel makes a
// table when it is asked for.
FilterRules read_xtables(const FirewallSockets& sockets);

}  // namespace sockswitch
