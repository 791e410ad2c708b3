// What a set of filter rules would do to a packet, with three truth values.
//
// Theory of operation. Values are known bit by bit: a header of which the destination and nothing
// else is known can be masked and compared, and the answer is yes, no or perhaps. A chain is walked
// once for each call of it. A rule that matches perhaps is taken and not taken at once: its verdict
// is added to what is possible, and what it changes (the mark) becomes unknown where the two ways
// differ. So the result is a set of outcomes that holds the true one; it may hold more. Steps are
// counted; when they are used up, everything is possible.
//
// The packet is the first of its connection. What only the packet path knows (marks of connections,
// limits, sets that it fills) is unknown.
#pragma once

#include <cstdint>
#include <functional>

#include "path/filter_rules.h"
#include "path/packet_facts.h"

namespace sockswitch {

// What all chains of a hook together may do to the packet. "May" is also "surely will"; what is not
// possible is false.
struct HookResult {
  bool may_pass = true;
  bool may_drop = false;
  bool may_stay = true;            // no nat rule takes it
  bool may_translate = false;      // to another destination
  bool may_change_source = false;  // to a given one
  bool may_masquerade = false;     // to the device's
  // A rule that surely matches this very destination surely refuses it.
  bool refuses_destination = false;
  // Of a packet that passes.
  std::uint32_t mark = 0;
  std::uint32_t known_mark = UINT32_MAX;

  // For the next hook.
  void hand_mark_to(PacketFacts& packet) const {
    packet.mark = mark;
    packet.known_mark = known_mark;
  }
};

// All base chains of `hook` that would see the packet, in their order, except those that `skip`
// holds for. A packet that is dropped in one goes on to the next: outcomes are collected.
HookResult evaluate_hook(const FilterRules& rules, FilterHook hook, const PacketFacts& packet,
                         const std::function<bool(const FilterChain&)>& skip = {});

// Whether a base chain sees packets of this family and these devices at all.
bool sees(const FilterChain& chain, const PacketFacts& packet);

}  // namespace sockswitch
