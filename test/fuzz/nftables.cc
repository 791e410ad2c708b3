// nftables' rules as the kernel dumps them, and what is evaluated of them (path/nftables.h).
#include "path/nftables.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <array>
#include <cstdint>
#include <cstdlib>

#include "path/filter_evaluation.h"
#include "path/netavark.h"

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a target for this namespace

namespace {

PacketFacts packet() {
  PacketFacts facts;
  facts.source = Address::parse("10.0.0.2");
  facts.destination = {*Address::parse("192.0.2.1"), 80, 0};
  facts.out = {.index = 2, .name = "eth0"};
  return facts;
}

}  // namespace

// A message is a byte for its type, one for its length in words, and its payload.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array<std::uint16_t, 5> kTypes{NFT_MSG_NEWCHAIN, NFT_MSG_NEWTABLE, NFT_MSG_NEWSET,
                                                NFT_MSG_NEWSETELEM, NFT_MSG_NEWRULE};
  NftablesDump dump;
  NetlinkBytes rest(data, size);
  while (rest.size() >= 2) {
    const std::size_t length = std::min<std::size_t>(rest[1] * 4UL, rest.size() - 2);
    const auto type =
        static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8U | kTypes.at(rest[0] % kTypes.size()));
    if (!dump.take({.type = type, .payload = rest.subspan(2, length)})) return 0;
    rest = rest.subspan(2 + length);
  }
  for (std::size_t i = 0; i < dump.rules().sets.size(); ++i) dump.complete_set(i);
  const FilterRules& rules = dump.rules();
  for (auto hook : {FilterHook::kPrerouting, FilterHook::kForward, FilterHook::kOutput,
                    FilterHook::kPostrouting, FilterHook::kEgress}) {
    const HookResult result = evaluate_hook(rules, hook, packet());
    if (!result.may_pass && !result.may_drop) std::abort();  // something becomes of each packet
  }
  forwarded_by(rules, packet());
  for (const FilterChain& chain : rules.chains) {
    if (chain.words().empty()) std::abort();
  }
  return 0;
}
