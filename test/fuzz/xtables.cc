// Legacy tables as the kernel has them, and what is evaluated of them (path/xtables.h).
#include "path/xtables.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "path/filter_evaluation.h"
#include "path/netavark.h"

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a target for this namespace

// A byte for the family, one for the valid hooks, ten for where their chains begin and end, then
// the entries.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kHeader = 12;
  constexpr std::uint32_t kUnit = 8;  // entries are aligned
  if (size < kHeader) return 0;
  const auto origin = data[0] % 3 == 0   ? FilterChain::Origin::kIptables
                      : data[0] % 3 == 1 ? FilterChain::Origin::kIp6tables
                                         : FilterChain::Origin::kArptables;
  XtTableInfo info{.name = data[0] > 100 ? "nat" : "filter", .valid_hooks = data[1] & 31U};
  for (std::size_t i = 0; i < info.hook_entry.size(); ++i) {
    info.hook_entry.at(i) = data[2 + i] * kUnit;
    info.underflow.at(i) = data[7 + i] * kUnit;
  }
  FilterRules rules;
  if (!parse_xtables(origin, info, {data + kHeader, size - kHeader}, rules)) return 0;
  PacketFacts packet;
  packet.destination = {*Address::parse(data[0] % 3 == 1 ? "2001:db8::1" : "192.0.2.1"), 80, 0};
  for (auto hook : {FilterHook::kPrerouting, FilterHook::kForward, FilterHook::kOutput,
                    FilterHook::kPostrouting}) {
    const HookResult result = evaluate_hook(rules, hook, packet);
    if (!result.may_pass && !result.may_drop) std::abort();  // something becomes of each packet
  }
  forwarded_by(rules, packet);
  return 0;
}
