#include "path/service_addresses.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>

#include "kernel/netlink_message.h"

namespace sockswitch {
namespace {

using Kind = FilterOperation::Kind;

std::optional<Address> address_of(std::span<const std::uint8_t> bytes) {
  if (bytes.size() == sizeof(in_addr)) {
    in_addr v4{};
    std::memcpy(&v4, bytes.data(), sizeof v4);
    return Address::from_v4(v4);
  }
  if (bytes.size() != sizeof(in6_addr)) return {};
  in6_addr v6{};
  std::memcpy(&v6, bytes.data(), sizeof v6);
  return Address::from_v6(v6);
}

// Of iptables' and ip6tables' own match. No value: it names no single destination.
std::optional<Address> legacy_destination(const FilterOperation& match) {
  if (match.key == AF_INET) {
    const auto header = read_structure<ipt_ip>(match.value);
    if (!header || header->dmsk.s_addr != INADDR_NONE) return {};
    if ((header->invflags & IPT_INV_DSTIP) != 0) return {};
    return Address::from_v4(header->dst);
  }
  const auto header = read_structure<ip6t_ip6>(match.value);
  if (!header || (header->invflags & IP6T_INV_DSTIP) != 0) return {};
  const auto& mask = header->dmsk.s6_addr;
  if (std::ranges::any_of(mask, [](std::uint8_t byte) { return byte != UINT8_MAX; })) return {};
  return Address::from_v6(header->dst);
}

bool loads_destination(const FilterOperation& operation) {
  if (operation.kind != Kind::kLoadPayload || operation.key != NFT_PAYLOAD_NETWORK_HEADER) {
    return false;
  }
  const bool v4 = operation.offset == offsetof(iphdr, daddr) && operation.length == sizeof(in_addr);
  return v4 ||
         (operation.offset == offsetof(ip6_hdr, ip6_dst) && operation.length == sizeof(in6_addr));
}

// The one destination that a rule is about; no value: it is about others, too.
std::optional<Address> only_destination(const FilterRule& rule) {
  const FilterOperation* loaded = nullptr;
  for (const FilterOperation& operation : rule.operations) {
    if (operation.kind == Kind::kXtPacket) {
      if (auto address = legacy_destination(operation)) return address;
    }
    if (loads_destination(operation)) {
      loaded = &operation;
      continue;
    }
    const bool compares = loaded != nullptr && operation.kind == Kind::kCompare &&
                          operation.source == loaded->target && operation.key == NFT_CMP_EQ &&
                          operation.value.size() == loaded->length;
    if (compares) return address_of(operation.value);
    loaded = nullptr;
  }
  return {};
}

bool leads_to_service(const FilterRule& rule, const FilterRules& rules) {
  return std::ranges::any_of(rule.operations, [&](const FilterOperation& operation) {
    if (operation.kind != Kind::kVerdict) return false;
    const FilterVerdict& verdict = operation.verdict;
    const bool leads =
        verdict.kind == FilterVerdict::Kind::kJump || verdict.kind == FilterVerdict::Kind::kGoto;
    if (!leads || verdict.chain >= rules.chains.size()) return false;
    const std::string& name = rules.chains[verdict.chain].name;
    return name.starts_with("KUBE-SVC-") || name.starts_with("KUBE-SVL-");
  });
}

}  // namespace

std::vector<Address> service_addresses(const FilterRules& rules) {
  std::vector<Address> found;
  for (const FilterChain& chain : rules.chains) {
    if (chain.name != "KUBE-SERVICES") continue;
    for (const FilterRule& rule : chain.rules) {
      if (!leads_to_service(rule, rules)) continue;
      if (auto address = only_destination(rule)) found.push_back(*address);
    }
  }
  for (const FilterSet& set : rules.sets) {
    if (set.table != "kube-proxy" || set.name != "cluster-ips") continue;
    for (const FilterSetElement& element : set.elements) {
      if (element.interval_end || element.catch_all) continue;
      if (auto address = address_of(element.key)) found.push_back(*address);
    }
  }
  std::ranges::sort(found);
  const auto rest = std::ranges::unique(found);
  found.erase(rest.begin(), rest.end());
  return found;
}

}  // namespace sockswitch
