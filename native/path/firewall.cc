#include "path/firewall.h"

#include <linux/netfilter.h>
#include <linux/netfilter_bridge/ebtables.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <utility>

#include "kernel/thread_clock.h"
#include "path/filter_evaluation.h"
#include "path/filter_rules.h"
#include "path/ipvs.h"
#include "path/netavark.h"
#include "path/nftables.h"
#include "path/service_addresses.h"
#include "path/traffic_control.h"
#include "path/xfrm.h"
#include "path/xtables.h"

namespace sockswitch {

struct Firewall::Snapshot {
  FilterRules rules;  // nftables' and legacy tables'
  Xfrm xfrm;
  TrafficControl traffic;
  Ipvs ipvs;
  bool has_ebtables = false;  // legacy ones, which report no changes

  // Whether something that is not evaluated may mark packets that are forwarded.
  bool may_mark_unseen() const;
};

namespace {

using State = FirewallSockets::State;

constexpr std::chrono::milliseconds kNftablesTime{600};

// Chains of legacy tables name chains by their place, which is another one behind others'.
void append(FilterRules& to, FilterRules from) {
  const std::size_t offset = to.chains.size();
  for (FilterChain& chain : from.chains) {
    for (FilterRule& rule : chain.rules) {
      for (FilterOperation& operation : rule.operations) operation.verdict.chain += offset;
    }
  }
  std::ranges::move(from.chains, std::back_inserter(to.chains));
  if (!to.trouble) to.trouble = std::move(from.trouble);
}

// Whether the hook is on the way of a packet that the namespace sends, or of its replies.
bool on_own_way(const FilterChain& chain) {
  if (chain.family == NFPROTO_ARP) {
    return chain.hook == FilterHook::kInput || chain.hook == FilterHook::kOutput;
  }
  return chain.hook != FilterHook::kForward;
}

// Whether the kernel has legacy ebtables, with rules or without. Fails with EPERM or EINVAL where
// it has them (netfilter_bridge/ebtables.h).
bool has_ebtables(int socket) {
  struct ebt_replace table{};
  socklen_t length = 0;
  return ::getsockopt(socket, IPPROTO_IP, EBT_SO_GET_INFO, &table, &length) == 0 ||
         errno != ENOPROTOOPT;
}

// Whether the chain is on the way of a packet that is forwarded, of its frames, or of its replies.
bool on_forwarded_way(const FilterChain& chain, const PacketFacts& packet) {
  if (!chain.is_base || chain.dormant) return false;
  const bool frames = chain.family == NFPROTO_ARP || chain.family == NFPROTO_BRIDGE ||
                      chain.family == NFPROTO_NETDEV;
  if (frames) return true;
  // What finds the neighbours of IPv6 are packets of IPv6 that the namespace gets and sends itself.
  if (!packet.destination.address.is_v4()) return chain.family != NFPROTO_IPV4;
  return chain.family != NFPROTO_IPV6 && chain.hook != FilterHook::kInput &&
         chain.hook != FilterHook::kOutput;
}

// Whether the chain is of frames, perhaps those of another device than the packet's: a port of its
// bridge.
bool is_of_frames(const FilterChain& chain) {
  if (!chain.is_base || chain.dormant) return false;
  return chain.family == NFPROTO_BRIDGE || chain.family == NFPROTO_NETDEV ||
         chain.hook == FilterHook::kIngress;
}

std::optional<std::string> rules_obstacle(const FilterRules& rules, const PacketFacts& packet) {
  if (rules.trouble) return rules.trouble;
  for (const FilterChain& chain : rules.chains) {
    if (!sees(chain, packet) || !on_own_way(chain)) continue;
    if (!chain.rules.empty() || !chain.accepts) return chain.words();
  }
  return {};
}

}  // namespace

bool Firewall::Snapshot::may_mark_unseen() const {
  return has_ebtables || xfrm.trouble || xfrm.obstacle || traffic.trouble ||
         !traffic.devices.empty() || std::ranges::any_of(rules.chains, is_of_frames);
}

Firewall::Firewall() : snapshot_(std::make_unique<Snapshot>()) {}
Firewall::~Firewall() = default;
Firewall::Firewall(Firewall&&) noexcept = default;
Firewall& Firewall::operator=(Firewall&&) noexcept = default;

Firewall Firewall::read(FirewallSockets& sockets) {
  auto made = std::make_unique<Snapshot>();
  // Asks one source, where it is there; `fail` gets the words where that is not known.
  auto ask = [&](FirewallSource source, const char* words, auto read, auto fail) {
    const State state = sockets.state(source);
    if (state == State::kOpen) read(sockets.netlink(source));
    if (state == State::kUnknown) fail(std::string(words) + " cannot be read: no socket");
  };
  ask(
      FirewallSource::kNftables, "nftables",
      [&](NetlinkSocket& socket) {
        made->rules = read_nftables(socket, ThreadClock::now() + kNftablesTime);
      },
      [&](std::string words) { made->rules.trouble = std::move(words); });
  append(made->rules, read_xtables(sockets));
  ask(
      FirewallSource::kXfrm, "xfrm policies",
      [&](NetlinkSocket& socket) { made->xfrm = read_xfrm(socket); },
      [&](std::string words) { made->xfrm.trouble = std::move(words); });
  ask(
      FirewallSource::kRoute, "traffic control",
      [&](NetlinkSocket& socket) { made->traffic = read_traffic_control(socket); },
      [&](std::string words) { made->traffic.trouble = std::move(words); });
  ask(
      FirewallSource::kGeneric, "IPVS",
      [&](NetlinkSocket& socket) { made->ipvs = read_ipvs(socket); },
      [&](std::string words) { made->ipvs.trouble = std::move(words); });
  made->has_ebtables = sockets.state(FirewallSource::kSocketV4) != State::kOpen ||
                       has_ebtables(sockets.fd(FirewallSource::kSocketV4));
  Firewall firewall;
  firewall.snapshot_ = std::move(made);
  return firewall;
}

std::optional<std::string> Firewall::obstacle(const PacketFacts& packet) const {
  if (auto words = rules_obstacle(snapshot_->rules, packet)) return words;
  if (snapshot_->xfrm.trouble) return snapshot_->xfrm.trouble;
  if (snapshot_->xfrm.obstacle) return snapshot_->xfrm.obstacle;
  if (auto words = snapshot_->traffic.obstacle(packet.out.index, packet.out.name)) return words;
  if (snapshot_->ipvs.trouble) return snapshot_->ipvs.trouble;
  if (!snapshot_->ipvs.services.empty()) return "IPVS services";
  return {};
}

bool Firewall::may_translate(const PacketFacts& packet) const {
  const FilterRules& rules = snapshot_->rules;
  if (rules.trouble || snapshot_->ipvs.trouble) return true;
  if (snapshot_->ipvs.may_translate(packet)) return true;
  return std::ranges::any_of(
      std::initializer_list<FilterHook>{FilterHook::kOutput, FilterHook::kPostrouting,
                                        FilterHook::kEgress},
      [&](FilterHook hook) {
        const HookResult result = evaluate_hook(rules, hook, packet);
        return result.may_translate || result.refuses_destination;
      });
}

Forwarded Firewall::forwarded(const PacketFacts& packet) const {
  using Verdict = Forwarded::Verdict;
  Forwarded result = forwarded_by(snapshot_->rules, packet);
  if (result.verdict == Verdict::kForeign) return result;
  for (const auto* trouble : {&snapshot_->rules.trouble, &snapshot_->xfrm.trouble,
                              &snapshot_->traffic.trouble, &snapshot_->ipvs.trouble}) {
    if (*trouble) return {Verdict::kUnknown, **trouble};
  }
  // Nobody but the user puts these into that namespace.
  if (snapshot_->xfrm.obstacle) return {Verdict::kForeign, *snapshot_->xfrm.obstacle};
  for (const PacketDevice* device : {&packet.in, &packet.out}) {
    if (auto words = snapshot_->traffic.obstacle(device->index, device->name)) {
      return {Verdict::kForeign, *words};
    }
  }
  if (!snapshot_->ipvs.services.empty()) return {Verdict::kForeign, "IPVS services"};
  return result;
}

std::optional<std::string> Firewall::forwarding_obstacle(const PacketFacts& packet) const {
  const FilterRules& rules = snapshot_->rules;
  if (rules.trouble) return rules.trouble;
  for (const FilterChain& chain : rules.chains) {
    // What translates addresses sees the first packet only.
    const bool evaluated = chain.is_nat && chain.accepts;
    if (evaluated || !on_forwarded_way(chain, packet)) continue;
    if (!chain.rules.empty() || !chain.accepts) return chain.words();
  }
  if (snapshot_->xfrm.trouble) return snapshot_->xfrm.trouble;
  if (snapshot_->xfrm.obstacle) return snapshot_->xfrm.obstacle;
  for (const PacketDevice* device : {&packet.in, &packet.out}) {
    if (auto words = snapshot_->traffic.obstacle(device->index, device->name)) return words;
  }
  if (snapshot_->ipvs.trouble) return snapshot_->ipvs.trouble;
  if (!snapshot_->ipvs.services.empty()) return "IPVS services";
  if (snapshot_->has_ebtables) return "ebtables-legacy, whose rules are not read";
  return {};
}

Translated Firewall::translate(const PacketFacts& packet) const {
  const FilterRules& rules = snapshot_->rules;
  if (rules.trouble || snapshot_->ipvs.trouble) return {};
  // A mark does not outlive the way into another namespace (skb_scrub_packet()).
  PacketFacts facts = packet;
  if (snapshot_->may_mark_unseen()) facts.known_mark = 0;
  const HookResult ingress = evaluate_hook(rules, FilterHook::kIngress, facts);
  ingress.hand_mark_to(facts);
  const PacketFacts before = facts;
  const HookResult in = evaluate_hook(rules, FilterHook::kPrerouting, facts);
  in.hand_mark_to(facts);
  const HookResult through = evaluate_hook(rules, FilterHook::kForward, facts);
  through.hand_mark_to(facts);
  const HookResult out = evaluate_hook(rules, FilterHook::kPostrouting, facts);
  const auto no_nat = [](const FilterChain& chain) { return !chain.is_nat; };
  Translated result;
  result.passes = in.may_pass && through.may_pass && out.may_pass;
  result.may_be_sent = ingress.may_translate || in.may_translate || through.may_translate ||
                       out.may_translate || snapshot_->ipvs.may_translate(packet);
  result.masqueraded = out.may_masquerade && !out.may_stay && !out.may_change_source;
  result.is_sure = !evaluate_hook(rules, FilterHook::kPrerouting, before, no_nat).may_drop &&
                   !evaluate_hook(rules, FilterHook::kPostrouting, facts, no_nat).may_drop;
  return result;
}

std::vector<Address> Firewall::service_addresses() const {
  return sockswitch::service_addresses(snapshot_->rules);
}

}  // namespace sockswitch
