// One nftables expression, read into operations (linux/netfilter/nf_tables.h, nf_tables_compat.h).
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "kernel/netlink_message.h"
#include "path/filter_rules.h"

namespace sockswitch {

// The chain and the set of a name, in the table that the expression belongs to.
struct NftNames {
  std::function<std::optional<std::size_t>(const std::string&)> chain;
  std::function<std::optional<std::size_t>(const std::string&)> set;
};

// `attributes` are those of one NFTA_LIST_ELEM of NFTA_RULE_EXPRESSIONS. An expression that is not
// known is an operation of its own (kUnknown). False if it is malformed.
[[nodiscard]] bool read_nft_expression(NetlinkBytes attributes, const NftNames& names,
                                       FilterRule& rule);

// What NFTA_DATA_* attributes hold: a value or a verdict. False if it is malformed.
[[nodiscard]] bool read_nft_data(NetlinkBytes attributes, const NftNames& names, FilterBytes& value,
                                 std::optional<FilterVerdict>& verdict);

}  // namespace sockswitch
