#include "path/netavark.h"

#include <linux/netfilter.h>

#include <algorithm>

#include "path/filter_evaluation.h"

namespace sockswitch {
namespace {

using Kind = FilterOperation::Kind;
using Verdict = Forwarded::Verdict;

bool is_netavark_table(const FilterChain& chain) {
  return chain.origin == FilterChain::Origin::kNftables && chain.family == NFPROTO_INET &&
         chain.table == "netavark";
}

// A rule of a chain that others use, too, belongs to netavark where all that it can do is to go to
// one of netavark's chains.
bool leads_to_netavark(const FilterRules& rules, const FilterRule& rule) {
  bool leads = false;
  for (const FilterOperation& operation : rule.operations) {
    switch (operation.kind) {
      case Kind::kVerdict:
        if (operation.verdict.kind != FilterVerdict::Kind::kJump ||
            !rules.chains[operation.verdict.chain].name.starts_with("NETAVARK")) {
          return false;
        }
        leads = true;
        break;
      case Kind::kNothing:
      case Kind::kPerhaps:
      case Kind::kLoadPayload:
      case Kind::kLoadMeta:
      case Kind::kLoadCt:
      case Kind::kLoadFib:
      case Kind::kLoadUnknown:
      case Kind::kImmediate:
      case Kind::kBitwise:
      case Kind::kByteOrder:
      case Kind::kCompare:
      case Kind::kRange:
      case Kind::kXtMatch:
      case Kind::kXtPacket:
        break;
      default:
        return false;
    }
  }
  return leads;
}

// Hooks that a forwarded packet, its frames or its replies pass.
bool on_the_way(const FilterChain& chain) {
  return chain.family == NFPROTO_ARP || chain.family == NFPROTO_BRIDGE ||
         (chain.hook != FilterHook::kInput && chain.hook != FilterHook::kOutput);
}

bool could_see(const FilterChain& chain, const PacketFacts& packet) {
  if (!chain.is_base || chain.dormant || !on_the_way(chain)) return false;
  return chain.family == NFPROTO_BRIDGE || sees(chain, packet);
}

std::optional<std::string> foreign(const FilterRules& rules, const PacketFacts& packet) {
  for (const FilterChain& chain : rules.chains) {
    if (is_netavark_table(chain) || !could_see(chain, packet)) continue;
    const bool known = chain.accepts && std::ranges::all_of(chain.rules, [&](const auto& rule) {
                         return leads_to_netavark(rules, rule);
                       });
    if (!known) return chain.words();
  }
  return {};
}

Forwarded dropped_or_unknown(const HookResult& result, const std::string& hook) {
  if (!result.may_pass) return {Verdict::kBlocked, "netavark's rules drop it (" + hook + ")"};
  return {Verdict::kUnknown, "netavark's rules may drop it (" + hook + ")"};
}

}  // namespace

Forwarded forwarded_by(const FilterRules& rules, const PacketFacts& packet) {
  if (rules.trouble) return {Verdict::kUnknown, *rules.trouble};
  if (auto words = foreign(rules, packet)) return {Verdict::kForeign, *words};

  const HookResult in = evaluate_hook(rules, FilterHook::kPrerouting, packet);
  if (in.may_drop) return dropped_or_unknown(in, "prerouting");
  if (in.may_translate) return {Verdict::kUnknown, "a published port may translate it"};
  PacketFacts later = packet;
  in.hand_mark_to(later);
  const HookResult through = evaluate_hook(rules, FilterHook::kForward, later);
  if (through.may_drop) return dropped_or_unknown(through, "forward");
  through.hand_mark_to(later);
  const HookResult out = evaluate_hook(rules, FilterHook::kPostrouting, later);
  if (out.may_drop) return dropped_or_unknown(out, "postrouting");

  const bool otherwise = out.may_change_source || out.may_translate || through.may_translate;
  if (!otherwise && out.may_masquerade && !out.may_stay) return {Verdict::kPasses, ""};
  if (!otherwise && !out.may_masquerade) {
    return {Verdict::kBlocked, "netavark's rules do not masquerade it"};
  }
  return {Verdict::kUnknown, "netavark's rules may give it another source"};
}

}  // namespace sockswitch
