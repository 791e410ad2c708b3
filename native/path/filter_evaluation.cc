#include "path/filter_evaluation.h"

#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "path/known_bits.h"
#include "path/xt_extension.h"

namespace sockswitch {
namespace {

using Kind = FilterOperation::Kind;
using Bytes = std::span<const std::uint8_t>;

// A set of a thousand chains with a hundred rules each is walked; one that calls itself over and
// over is not.
constexpr std::size_t kMaxSteps = 200'000;       // operations
constexpr std::size_t kMaxElements = 2'000'000;  // of sets, looked at
constexpr unsigned kMaxDepth = 16;               // NFT_JUMP_STACK_SIZE

// Bits of a set of outcomes.
struct FilterOutcome {
  static constexpr unsigned kAccept = 1;  // goes on unchanged
  static constexpr unsigned kDrop = 2;
  static constexpr unsigned kTranslate = 4;    // goes on to another destination
  static constexpr unsigned kSourceNat = 8;    // goes on with another source
  static constexpr unsigned kMasquerade = 16;  // goes on with the device's source
  static constexpr unsigned kAnything = 31;
};

template <typename Number>
Bytes bytes_of(const Number& number) {
  return {reinterpret_cast<const std::uint8_t*>(&number), sizeof number};
}

// The headers of the packet, as far as they are known.
class Headers {
 public:
  explicit Headers(const PacketFacts& packet);
  // Copies what is known; false where the header is none of the two.
  bool load(std::uint32_t base, std::size_t offset, const KnownBits& target) const;

 private:
  struct Header {
    std::array<std::uint8_t, sizeof(ip6_hdr)> data{};
    std::array<std::uint8_t, sizeof(ip6_hdr)> known{};
    void put(std::size_t offset, Bytes bytes) {
      std::ranges::copy(bytes, data.begin() + static_cast<std::ptrdiff_t>(offset));
      std::fill_n(known.begin() + static_cast<std::ptrdiff_t>(offset), bytes.size(), 0xff);
    }
    void know(std::size_t offset, Bytes bits) {
      std::ranges::copy(bits, known.begin() + static_cast<std::ptrdiff_t>(offset));
    }
  };
  Header network_;
  Header transport_;
};

Headers::Headers(const PacketFacts& packet) {
  const auto protocol = static_cast<std::uint8_t>(packet.protocol);
  const bool v4 = packet.destination.address.is_v4();
  const std::size_t size = v4 ? sizeof(in_addr) : sizeof(in6_addr);
  network_.put(v4 ? offsetof(iphdr, protocol) : offsetof(ip6_hdr, ip6_nxt), bytes_of(protocol));
  network_.put(v4 ? offsetof(iphdr, daddr) : offsetof(ip6_hdr, ip6_dst),
               Bytes(packet.destination.address.bytes).last(size));
  const auto known = packet.known_address();
  network_.know(v4 ? offsetof(iphdr, daddr) : offsetof(ip6_hdr, ip6_dst), Bytes(known).last(size));
  if (packet.source) {
    network_.put(v4 ? offsetof(iphdr, saddr) : offsetof(ip6_hdr, ip6_src),
                 Bytes(packet.source->bytes).last(size));
  }
  // The version's half of the first byte; and no fragment.
  network_.data[0] = v4 ? 0x40 : 0x60;
  network_.known[0] = 0xf0;
  if (v4) {
    network_.known[offsetof(iphdr, frag_off)] = 0x3f;
    network_.known[offsetof(iphdr, frag_off) + 1] = 0xff;
  }
  const std::uint16_t port = htons(packet.destination.port);
  if (packet.port_known) transport_.put(sizeof port, bytes_of(port));
}

bool Headers::load(std::uint32_t base, std::size_t offset, const KnownBits& target) const {
  const Header* header = base == NFT_PAYLOAD_NETWORK_HEADER     ? &network_
                         : base == NFT_PAYLOAD_TRANSPORT_HEADER ? &transport_
                                                                : nullptr;
  if (header == nullptr) return false;
  for (std::size_t i = 0; i < target.size(); ++i) {
    const bool there = offset + i < header->data.size();
    target.data[i] = there ? header->data[offset + i] : 0;
    target.known[i] = there ? header->known[offset + i] : 0;
  }
  return true;
}

// What a packet carries from rule to rule and from chain to chain.
struct State {
  std::uint32_t mark = 0;
  std::uint32_t known_mark = UINT32_MAX;
  bool tracked = true;
  bool destination_named = false;  // a rule on the way surely matched this very destination
};

State joined(const State& left, const State& right) {
  State state;
  state.known_mark = left.known_mark & right.known_mark & ~(left.mark ^ right.mark);
  state.mark = left.mark & state.known_mark;
  state.tracked = left.tracked && right.tracked;
  state.destination_named = left.destination_named && right.destination_named;
  return state;
}

// The ways on after a chain, or a part of one.
struct Ways {
  std::optional<State> state;  // no value: there is no way on
  void add(const State& other) { state = state ? joined(*state, other) : other; }
};

class Evaluation {
 public:
  Evaluation(const FilterRules& rules, FilterHook hook, PacketFacts packet)
      : rules_(rules), packet_(std::move(packet)), headers_(packet_) {
    // Which device a hook shows.
    if (hook == FilterHook::kOutput) packet_.in = {};
    if (hook == FilterHook::kPrerouting || hook == FilterHook::kInput ||
        hook == FilterHook::kIngress) {
      packet_.out = {};
    }
    // Forwarded packets show it at postrouting since Linux 5.7 or so only.
    in_known_ = hook != FilterHook::kPostrouting || packet_.in.index == 0;
    state_.known_mark = packet_.known_mark;
    state_.mark = packet_.mark & packet_.known_mark;
  }

  void base_chain(std::size_t chain);
  HookResult result() const {
    HookResult result = result_;
    result.mark = state_.mark;
    result.known_mark = state_.known_mark;
    return result;
  }

 private:
  // A rule while it is walked.
  struct Step {
    State state;
    State otherwise;  // what an operation that does not match leaves
    Tristate match = Tristate::kYes;
    bool ended = false;
    std::size_t destination_at = 0;  // where the destination was loaded to
    std::size_t destination_size = 0;
    Ways next;      // ways on to the next rule
    Ways returned;  // ways back to the calling chain
  };

  Ways walk(std::size_t chain, State state, unsigned depth, bool sure);
  void apply(const FilterOperation& operation, Step& step, unsigned depth, bool sure);
  void match(Tristate result, Step& step) { step.match = step.match & result; }
  Tristate load(const FilterOperation& operation, Step& step);
  Tristate load_payload(const FilterOperation& operation, Step& step);
  void load_meta(const FilterOperation& operation, const Step& step);
  void load_ct(const FilterOperation& operation, const Step& step);
  void load_fib(const FilterOperation& operation);
  void bitwise(const FilterOperation& operation);
  void swap(const FilterOperation& operation);
  Tristate compare(const FilterOperation& operation, Step& step);
  Tristate range(const FilterOperation& operation, Step& step);
  void lookup(const FilterOperation& operation, Step& step, unsigned depth, bool sure);
  Tristate look_for(const FilterSet& set, Bytes data, Bytes known,
                    std::vector<const FilterSetElement*>& found);
  void look_for_intervals(const FilterSet& set, Bytes data, Bytes known,
                          std::vector<const FilterSetElement*>& found, Tristate& result);
  void set_mark(const FilterOperation& operation, State& state);
  void verdict(const FilterVerdict& verdict, Step& step, unsigned depth, bool sure);
  void end(unsigned outcomes, Step& step);
  static void changed(Step& step);
  void refuse(const Step& step, bool sure);
  void anything(Step& step);
  void name_destination(std::size_t offset, std::size_t size, Step& step) const;

  const FilterRules& rules_;
  PacketFacts packet_;
  Headers headers_;
  bool in_known_ = true;
  bool connection_known_ = true;
  State state_;  // between base chains
  Ways left_;    // out of the present base chain by a verdict, without being dropped
  RegisterFile registers_;
  unsigned outcomes_ = 0;  // of the present base chain
  HookResult result_;
  std::size_t steps_ = 0;
  std::size_t elements_ = 0;
};

void Evaluation::base_chain(std::size_t chain) {
  const FilterChain& base = rules_.chains[chain];
  // Of several nat chains the first that translates decides.
  if (base.is_nat && !result_.may_stay) return;
  outcomes_ = 0;
  left_ = {};
  // Before connection tracking no packet has a connection.
  connection_known_ = base.priority > NF_IP_PRI_CONNTRACK;
  Ways end = walk(chain, state_, 0, true);
  if (end.state) {
    outcomes_ |= base.accepts ? FilterOutcome::kAccept : FilterOutcome::kDrop;
    if (base.accepts) left_.add(*end.state);
  }
  if (left_.state) state_ = *left_.state;
  state_.destination_named = false;
  result_.may_drop = result_.may_drop || (outcomes_ & FilterOutcome::kDrop) != 0;
  result_.may_pass = result_.may_pass && (outcomes_ & ~FilterOutcome::kDrop) != 0;
  result_.may_translate = result_.may_translate || (outcomes_ & FilterOutcome::kTranslate) != 0;
  result_.may_change_source =
      result_.may_change_source || (outcomes_ & FilterOutcome::kSourceNat) != 0;
  result_.may_masquerade = result_.may_masquerade || (outcomes_ & FilterOutcome::kMasquerade) != 0;
  if (base.is_nat) result_.may_stay = (outcomes_ & FilterOutcome::kAccept) != 0;
}

Ways Evaluation::walk(std::size_t chain, State state, unsigned depth, bool sure) {
  Ways returned;
  const bool destination_named = state.destination_named;
  for (const FilterRule& rule : rules_.chains[chain].rules) {
    Step step{.state = state, .otherwise = state};
    registers_.forget();
    for (const FilterOperation& operation : rule.operations) {
      if (++steps_ > kMaxSteps) {
        anything(step);
        returned.add(step.state);
        return returned;
      }
      apply(operation, step, depth, sure);
      if (step.match == Tristate::kNo || step.ended) break;
    }
    if (step.match != Tristate::kYes) step.next.add(step.otherwise);
    if (step.match != Tristate::kNo) {
      if (!step.ended) step.next.add(step.state);
      if (step.returned.state) returned.add(*step.returned.state);
    }
    if (!step.next.state) return returned;
    state = *step.next.state;
    // What one rule found out about the destination says nothing about the next.
    state.destination_named = destination_named;
  }
  returned.add(state);
  return returned;
}

void Evaluation::end(unsigned outcomes, Step& step) {
  outcomes_ |= outcomes;
  step.ended = true;
  if (outcomes != FilterOutcome::kDrop) left_.add(step.state);
}

// What a rule has changed stays changed, also where a later operation of it does not match.
void Evaluation::changed(Step& step) {
  step.otherwise = step.match == Tristate::kYes ? step.state : joined(step.otherwise, step.state);
}

void Evaluation::refuse(const Step& step, bool sure) {
  if (sure && step.match == Tristate::kYes && step.state.destination_named) {
    result_.refuses_destination = true;
  }
}

void Evaluation::anything(Step& step) {
  outcomes_ |= FilterOutcome::kAnything;
  step.match = step.match & Tristate::kPerhaps;
  step.state.known_mark = 0;
  step.state.mark = 0;
  step.state.tracked = false;
  step.otherwise = joined(step.otherwise, step.state);
  left_.add(step.state);
}

void Evaluation::apply(const FilterOperation& operation, Step& step, unsigned depth, bool sure) {
  const XtPacket xt{.packet = packet_,
                    .mark = step.state.mark,
                    .known_mark = step.state.known_mark,
                    .tracked = step.state.tracked && connection_known_,
                    .in_known = in_known_};
  switch (operation.kind) {
    case Kind::kNothing:
      return;
    case Kind::kPerhaps:
      return match(Tristate::kPerhaps, step);
    case Kind::kLoadPayload:
    case Kind::kLoadMeta:
    case Kind::kLoadCt:
    case Kind::kLoadFib:
    case Kind::kLoadUnknown:
      return match(load(operation, step), step);
    case Kind::kImmediate:
      return registers_.at(operation.target, (operation.value.size() + 3) & ~std::size_t{3})
          .set(operation.value);
    case Kind::kBitwise:
      return bitwise(operation);
    case Kind::kByteOrder:
      return swap(operation);
    case Kind::kCompare:
      return match(compare(operation, step), step);
    case Kind::kRange:
      return match(range(operation, step), step);
    case Kind::kLookup:
      return lookup(operation, step, depth, sure);
    case Kind::kVerdict:
      return verdict(operation.verdict, step, depth, sure && step.match == Tristate::kYes);
    case Kind::kSetMark:
    case Kind::kMaskMark:
    case Kind::kMarkUnknown:
      set_mark(operation, step.state);
      return changed(step);
    case Kind::kUntrack:
      step.state.tracked = false;
      return changed(step);
    case Kind::kXtMatch:
      return match(evaluate_xt_match(operation, xt), step);
    case Kind::kXtPacket: {
      match(evaluate_xt_packet(operation, xt), step);
      step.state.destination_named |= operation.names_destination;
      return;
    }
    case Kind::kTranslate:
      return end(FilterOutcome::kTranslate, step);
    case Kind::kMayTranslate:
      outcomes_ |= FilterOutcome::kTranslate;
      left_.add(step.state);
      return;
    case Kind::kSourceNat:
      return end(FilterOutcome::kSourceNat, step);
    case Kind::kMasquerade:
      return end(FilterOutcome::kMasquerade, step);
    case Kind::kRefuse:
      refuse(step, sure);
      return end(FilterOutcome::kDrop, step);
    case Kind::kQueue:
      return end(FilterOutcome::kAccept | FilterOutcome::kDrop, step);
    case Kind::kUnknown:
      return anything(step);
  }
}

Tristate Evaluation::load(const FilterOperation& operation, Step& step) {
  switch (operation.kind) {
    case Kind::kLoadPayload:
      return load_payload(operation, step);
    case Kind::kLoadMeta:
      load_meta(operation, step);
      return Tristate::kYes;
    case Kind::kLoadCt:
      load_ct(operation, step);
      // A packet without a connection ends the rule for most keys.
      return step.state.tracked && connection_known_ ? Tristate::kYes : Tristate::kPerhaps;
    case Kind::kLoadFib:
      load_fib(operation);
      return Tristate::kYes;
    default:
      registers_.at(operation.target, operation.length).forget();
      return Tristate::kPerhaps;
  }
}

Tristate Evaluation::load_payload(const FilterOperation& operation, Step& step) {
  const std::size_t padded = (operation.length + 3) & ~std::size_t{3};
  const KnownBits whole = registers_.at(operation.target, padded);
  whole.set({});
  const KnownBits target = registers_.at(operation.target, operation.length);
  if (!headers_.load(operation.key, operation.offset, target)) {
    target.forget();
    return Tristate::kPerhaps;
  }
  const bool v4 = packet_.destination.address.is_v4();
  const std::size_t begin = v4 ? offsetof(iphdr, daddr) : offsetof(ip6_hdr, ip6_dst);
  const std::size_t size = v4 ? sizeof(in_addr) : sizeof(in6_addr);
  if (operation.key == NFT_PAYLOAD_NETWORK_HEADER && operation.offset < begin + size &&
      operation.offset + operation.length > begin) {
    step.destination_at = operation.target;
    step.destination_size = operation.length;
  }
  return Tristate::kYes;
}

void Evaluation::load_meta(const FilterOperation& operation, const Step& step) {
  auto put = [&](Bytes bytes, std::size_t padded) {
    registers_.at(operation.target, padded).set(bytes);
  };
  auto put_device = [&](const PacketDevice& device, bool name) {
    if (!name) return put(bytes_of(device.index), sizeof device.index);
    const auto* text = reinterpret_cast<const std::uint8_t*>(device.name.data());
    put({text, std::min<std::size_t>(device.name.size(), IFNAMSIZ)}, IFNAMSIZ);
  };
  const bool v4 = packet_.destination.address.is_v4();
  constexpr std::size_t kWord = 4;
  switch (operation.key) {
    case NFT_META_PROTOCOL:
      return put(bytes_of(htons(v4 ? ETH_P_IP : ETH_P_IPV6)), kWord);
    case NFT_META_NFPROTO: {
      const std::uint8_t family = v4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
      return put(bytes_of(family), kWord);
    }
    case NFT_META_L4PROTO: {
      const auto protocol = static_cast<std::uint8_t>(packet_.protocol);
      return put(bytes_of(protocol), kWord);
    }
    case NFT_META_MARK: {
      const KnownBits target = registers_.at(operation.target, kWord);
      target.set(bytes_of(step.state.mark));
      std::memcpy(target.known.data(), &step.state.known_mark, target.known.size());
      return;
    }
    case NFT_META_OIF:
    case NFT_META_OIFNAME:
      return put_device(packet_.out, operation.key == NFT_META_OIFNAME);
    case NFT_META_IIF:
    case NFT_META_IIFNAME:
      if (in_known_) return put_device(packet_.in, operation.key == NFT_META_IIFNAME);
      break;
    default:
      break;
  }
  registers_.at(operation.target, IFNAMSIZ).forget();
}

void Evaluation::load_ct(const FilterOperation& operation, const Step& step) {
  const KnownBits target = registers_.at(operation.target, operation.length);
  target.forget();
  if (!step.state.tracked || !connection_known_) return;
  if (operation.key == NFT_CT_STATE) {
    const std::uint32_t state = 1U << (IP_CT_NEW + 1);
    registers_.at(operation.target, sizeof state).set(bytes_of(state));
  } else if (operation.key == NFT_CT_DIRECTION) {
    constexpr std::uint32_t kOriginal = 0;
    registers_.at(operation.target, sizeof kOriginal).set(bytes_of(kOriginal));
  }
}

// The destination is unicast and none of the namespace's own: the caller asks for no others.
void Evaluation::load_fib(const FilterOperation& operation) {
  const KnownBits target = registers_.at(operation.target, operation.length);
  target.forget();
  const bool of_destination = (operation.offset & NFTA_FIB_F_DADDR) != 0 &&
                              (operation.offset & (NFTA_FIB_F_SADDR | NFTA_FIB_F_PRESENT)) == 0;
  if (operation.key != NFT_FIB_RESULT_ADDRTYPE || !of_destination) return;
  const std::uint32_t type = RTN_UNICAST;
  registers_.at(operation.target, sizeof type).set(bytes_of(type));
}

void Evaluation::bitwise(const FilterOperation& operation) {
  const KnownBits source = registers_.at(operation.source, operation.length);
  const KnownBits target = registers_.at(operation.target, operation.length);
  const std::size_t size = std::min(source.size(), target.size());
  for (std::size_t i = 0; i < size && i < operation.value.size(); ++i) {
    const std::uint8_t mask = operation.value[i];
    const std::uint8_t known = source.known[i] | static_cast<std::uint8_t>(~mask);
    target.data[i] = ((source.data[i] & mask) ^ operation.second[i]) & known;
    target.known[i] = known;
  }
}

void Evaluation::swap(const FilterOperation& operation) {
  const KnownBits source = registers_.at(operation.source, operation.length);
  const KnownBits target = registers_.at(operation.target, operation.length);
  const std::size_t size = std::min(source.size(), target.size());
  FilterBytes data(source.data.begin(), source.data.end());
  FilterBytes known(source.known.begin(), source.known.end());
  for (std::size_t i = 0; i + operation.key <= size; i += operation.key) {
    for (std::size_t j = 0; j < operation.key; ++j) {
      target.data[i + j] = data[i + operation.key - 1 - j];
      target.known[i + j] = known[i + operation.key - 1 - j];
    }
  }
}

// A rule that surely matches what holds the destination is about this destination.
void Evaluation::name_destination(std::size_t offset, std::size_t size, Step& step) const {
  if (step.destination_size == 0) return;
  if (offset < step.destination_at + step.destination_size && offset + size > step.destination_at) {
    step.state.destination_named = true;
  }
}

Tristate Evaluation::compare(const FilterOperation& operation, Step& step) {
  const KnownBits source = registers_.at(operation.source, operation.value.size());
  if (source.size() != operation.value.size() || source.size() == 0) return Tristate::kPerhaps;
  if (operation.key == NFT_CMP_EQ || operation.key == NFT_CMP_NEQ) {
    const Tristate same = equals(source.data, source.known, operation.value);
    if (operation.key == NFT_CMP_NEQ) return !same;
    if (same == Tristate::kYes) name_destination(operation.source, source.size(), step);
    return same;
  }
  if (!source.all_known()) return Tristate::kPerhaps;
  const int order = std::memcmp(source.data.data(), operation.value.data(), source.size());
  switch (operation.key) {
    case NFT_CMP_LT:
      return tristate(order < 0);
    case NFT_CMP_LTE:
      return tristate(order <= 0);
    case NFT_CMP_GT:
      return tristate(order > 0);
    case NFT_CMP_GTE:
      return tristate(order >= 0);
    default:
      return Tristate::kPerhaps;
  }
}

Tristate Evaluation::range(const FilterOperation& operation, Step& step) {
  const std::size_t size = operation.value.size();
  const KnownBits source = registers_.at(operation.source, size);
  if (source.size() != size || size == 0 || !source.all_known()) return Tristate::kPerhaps;
  const bool inside = std::memcmp(source.data.data(), operation.value.data(), size) >= 0 &&
                      std::memcmp(source.data.data(), operation.second.data(), size) <= 0;
  if (inside && !operation.inverted) name_destination(operation.source, size, step);
  return tristate(inside != operation.inverted);
}

// Whether [from, to], field by field, holds the value.
Tristate element_holds(const FilterSet& set, const FilterSetElement& element, Bytes data,
                       Bytes known) {
  if (element.key_end.empty()) return equals(data, known, element.key);
  Tristate result = Tristate::kYes;
  std::size_t at = 0;
  auto field = [&](std::size_t size) {
    const Bytes part = data.subspan(at, size);
    const bool sure = std::ranges::all_of(known.subspan(at, size),
                                          [](std::uint8_t bits) { return bits == 0xff; });
    const bool inside = std::memcmp(part.data(), element.key.data() + at, size) >= 0 &&
                        std::memcmp(part.data(), element.key_end.data() + at, size) <= 0;
    result = result & (sure ? tristate(inside) : Tristate::kPerhaps);
    at += (size + 3) & ~std::size_t{3};
  };
  for (std::size_t size : set.fields) {
    if (size == 0 || at + size > data.size()) return Tristate::kPerhaps;
    field(size);
  }
  if (set.fields.empty() && !data.empty()) field(data.size());
  return result;
}

void Evaluation::look_for_intervals(const FilterSet& set, Bytes data, Bytes known,
                                    std::vector<const FilterSetElement*>& found, Tristate& result) {
  const bool sure = std::ranges::all_of(known, [](std::uint8_t bits) { return bits == 0xff; });
  const FilterSetElement* last = nullptr;
  for (const FilterSetElement& element : set.elements) {
    ++elements_;
    if (element.catch_all || !element.key_end.empty()) continue;
    if (!sure) {
      if (!element.interval_end) found.push_back(&element);
      continue;
    }
    if (std::memcmp(element.key.data(), data.data(), data.size()) > 0) break;
    last = &element;
  }
  if (!sure && !found.empty()) result = result | Tristate::kPerhaps;
  if (last == nullptr || last->interval_end) return;
  found.push_back(last);
  result = result | (last->uncertain ? Tristate::kPerhaps : Tristate::kYes);
}

// Which elements may hold the value; kYes: one of them surely does.
Tristate Evaluation::look_for(const FilterSet& set, Bytes data, Bytes known,
                              std::vector<const FilterSetElement*>& found) {
  Tristate result = Tristate::kNo;
  // Without key_end intervals are made of two elements.
  const bool split = (set.flags & NFT_SET_INTERVAL) != 0;
  if (split) look_for_intervals(set, data, known, found, result);
  const FilterSetElement* rest = nullptr;
  for (const FilterSetElement& element : set.elements) {
    if (++elements_ > kMaxElements) return Tristate::kPerhaps;
    if (element.catch_all) {
      rest = &element;
      continue;
    }
    if (split && element.key_end.empty()) continue;
    Tristate holds = element_holds(set, element, data, known);
    if (holds == Tristate::kNo) continue;
    if (element.uncertain) holds = Tristate::kPerhaps;
    found.push_back(&element);
    result = result | holds;
    if (holds == Tristate::kYes) break;
  }
  if (rest != nullptr && result != Tristate::kYes) {
    found.push_back(rest);
    result = rest->uncertain ? Tristate::kPerhaps : Tristate::kYes;
  }
  // The packet path itself may have added what is not listed.
  if (result == Tristate::kNo && (set.flags & (NFT_SET_EVAL | NFT_SET_TIMEOUT)) != 0) {
    result = Tristate::kPerhaps;
  }
  return result;
}

void Evaluation::lookup(const FilterOperation& operation, Step& step, unsigned depth, bool sure) {
  const FilterSet& set = rules_.sets[operation.set];
  const KnownBits source = registers_.at(operation.source, set.key_length);
  const bool verdicts = operation.is_map && operation.target == 0;
  if (!set.complete || source.size() != set.key_length || set.key_length == 0 ||
      elements_ > kMaxElements) {
    if (verdicts) return anything(step);
    if (operation.is_map) registers_.at(operation.target, NFT_DATA_VALUE_MAXLEN).forget();
    return match(Tristate::kPerhaps, step);
  }
  std::vector<const FilterSetElement*> found;
  const Tristate result = look_for(set, source.data, source.known, found);
  if (elements_ > kMaxElements) return anything(step);
  if (!operation.is_map) {
    if (result == Tristate::kYes && !operation.inverted) {
      name_destination(operation.source, set.key_length, step);
    }
    return match(operation.inverted ? !result : result, step);
  }
  match(result, step);
  if (result == Tristate::kNo) return;
  const bool one = found.size() == 1 && result == Tristate::kYes;
  if (one) name_destination(operation.source, set.key_length, step);
  if (!verdicts) {
    const KnownBits target = registers_.at(operation.target, NFT_DATA_VALUE_MAXLEN);
    target.forget();
    if (one) {
      const FilterBytes& data = found.front()->data;
      registers_.at(operation.target, (data.size() + 3) & ~std::size_t{3}).set(data);
    }
    return;
  }
  // An element that is not listed may have any verdict.
  if (!one && (set.flags & (NFT_SET_EVAL | NFT_SET_TIMEOUT)) != 0) anything(step);
  // Each of the verdicts is possible, from the same state.
  const State before = step.state;
  bool all_ended = !found.empty();
  for (const FilterSetElement* element : found) {
    step.state = before;
    step.ended = false;
    verdict(element->verdict, step, depth, sure && one && step.match == Tristate::kYes);
    if (!step.ended) step.next.add(step.state);
    all_ended = all_ended && step.ended;
  }
  step.ended = all_ended;
  // Operations behind a verdict map are reached by "continue" only; no compiler makes them.
  if (step.next.state) step.state = *step.next.state;
}

void Evaluation::set_mark(const FilterOperation& operation, State& state) {
  if (operation.kind == Kind::kMarkUnknown) {
    state.mark = 0;
    state.known_mark = 0;
    return;
  }
  std::uint32_t value = 0;
  std::uint32_t second = 0;
  if (operation.kind == Kind::kSetMark) {
    const KnownBits source = registers_.at(operation.source, sizeof value);
    std::memcpy(&value, source.data.data(), source.size());
    std::memcpy(&second, source.known.data(), source.size());
    state.mark = value;
    state.known_mark = second;
    return;
  }
  std::memcpy(&value, operation.value.data(), std::min(operation.value.size(), sizeof value));
  std::memcpy(&second, operation.second.data(), std::min(operation.second.size(), sizeof second));
  state.known_mark |= value;
  state.mark = ((state.mark & ~value) ^ second) & state.known_mark;
}

void Evaluation::verdict(const FilterVerdict& verdict, Step& step, unsigned depth, bool sure) {
  using Verdict = FilterVerdict::Kind;
  switch (verdict.kind) {
    case Verdict::kContinue:
      return;
    case Verdict::kAccept:
      return end(FilterOutcome::kAccept, step);
    case Verdict::kDrop:
      refuse(step, sure);
      return end(FilterOutcome::kDrop, step);
    case Verdict::kQueue:
      return end(FilterOutcome::kAccept | FilterOutcome::kDrop, step);
    case Verdict::kReturn:
      step.returned.add(step.state);
      step.ended = true;
      return;
    case Verdict::kUnknown:
      return anything(step);
    case Verdict::kJump:
    case Verdict::kGoto:
      break;
  }
  if (depth >= kMaxDepth || verdict.chain >= rules_.chains.size()) return anything(step);
  Ways ways = walk(verdict.chain, step.state, depth + 1, sure);
  step.ended = true;
  if (!ways.state) return;
  if (verdict.kind == Verdict::kGoto) {
    step.returned.add(*ways.state);
  } else {
    step.next.add(*ways.state);
  }
}

}  // namespace

bool sees(const FilterChain& chain, const PacketFacts& packet) {
  if (!chain.is_base || chain.dormant) return false;
  const bool v4 = packet.destination.address.is_v4();
  switch (chain.family) {
    case NFPROTO_IPV4:
    case NFPROTO_ARP:
      if (!v4) return false;
      break;
    case NFPROTO_IPV6:
      if (v4) return false;
      break;
    case NFPROTO_INET:
    case NFPROTO_NETDEV:
      break;
    default:
      return false;
  }
  if (chain.any_device) return true;
  return std::ranges::any_of(chain.devices, [&](const std::string& name) {
    return name == packet.in.name || name == packet.out.name;
  });
}

HookResult evaluate_hook(const FilterRules& rules, FilterHook hook, const PacketFacts& packet,
                         const std::function<bool(const FilterChain&)>& skip) {
  std::vector<std::size_t> chains;
  for (std::size_t i = 0; i < rules.chains.size(); ++i) {
    const FilterChain& chain = rules.chains[i];
    if (chain.family == NFPROTO_ARP || chain.hook != hook || !sees(chain, packet)) continue;
    if (!skip || !skip(chain)) chains.push_back(i);
  }
  std::ranges::stable_sort(chains, [&](std::size_t left, std::size_t right) {
    return rules.chains[left].priority < rules.chains[right].priority;
  });
  Evaluation evaluation(rules, hook, packet);
  for (std::size_t chain : chains) evaluation.base_chain(chain);
  return evaluation.result();
}

}  // namespace sockswitch
