// nftables' rules of one namespace, read over netlink (linux/netfilter/nf_tables.h).
#pragma once

#include <map>
#include <string>
#include <tuple>

#include "kernel/netlink_message.h"
#include "kernel/thread_clock.h"
#include "path/filter_rules.h"

namespace sockswitch {

// Puts dumped messages together; needs no kernel, for tests and the fuzzer.
class NftablesDump {
 public:
  // One NFT_MSG_NEWTABLE, NEWCHAIN, NEWSET, NEWSETELEM or NEWRULE; others are passed over. Names
  // are resolved at once: chains come before tables, sets and elements, rules last. False if it is
  // malformed: then nothing of the dump may be believed.
  [[nodiscard]] bool take(const NetlinkMessage& message);
  // All elements of a set were taken.
  void complete_set(std::size_t set);

  FilterRules& rules() { return rules_; }

 private:
  using Name = std::tuple<int, std::string, std::string>;  // family, table, chain or set

  bool take_table(int family, NetlinkBytes attributes);
  bool take_chain(int family, NetlinkBytes attributes);
  bool take_hook(NetlinkBytes attributes, FilterChain& chain) const;
  bool take_set(int family, NetlinkBytes attributes);
  bool take_elements(int family, NetlinkBytes attributes);
  bool take_element(int family, const std::string& table, NetlinkBytes attributes,
                    FilterSet& set) const;
  bool take_rule(int family, NetlinkBytes attributes);

  FilterRules rules_;
  std::map<Name, std::size_t> chains_;
  std::map<Name, std::size_t> sets_;
};

// Reads until `end` at most. Where nftables is not in the kernel there are no rules and no trouble.
FilterRules read_nftables(NetlinkSocket& socket, ThreadClock::time_point end);

}  // namespace sockswitch
