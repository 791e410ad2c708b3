#include "path/xt_extension.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/xt_MARK.h>
#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netfilter/xt_state.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace sockswitch {
namespace {

using Kind = FilterOperation::Kind;

struct Target {
  std::string_view name;
  Kind kind;
};

constexpr std::array<Target, 31> kTargets{{
    {"DNAT", Kind::kTranslate},       {"REDIRECT", Kind::kTranslate},
    {"NETMAP", Kind::kTranslate},     {"TPROXY", Kind::kTranslate},
    {"DNPT", Kind::kMayTranslate},    {"SNPT", Kind::kMayTranslate},
    {"SNAT", Kind::kSourceNat},       {"MASQUERADE", Kind::kMasquerade},
    {"REJECT", Kind::kRefuse},        {"DROP", Kind::kRefuse},
    {"NFQUEUE", Kind::kQueue},        {"SYNPROXY", Kind::kQueue},
    {"CONNMARK", Kind::kMarkUnknown},  // it may restore a mark
    {"HMARK", Kind::kMarkUnknown},    {"NOTRACK", Kind::kUntrack},
    {"CT", Kind::kUntrack},           {"LOG", Kind::kNothing},
    {"NFLOG", Kind::kNothing},        {"TRACE", Kind::kNothing},
    {"AUDIT", Kind::kNothing},        {"CHECKSUM", Kind::kNothing},
    {"CLASSIFY", Kind::kNothing},     {"TCPMSS", Kind::kNothing},
    {"DSCP", Kind::kNothing},         {"TOS", Kind::kNothing},
    {"TTL", Kind::kNothing},          {"HL", Kind::kNothing},
    {"SET", Kind::kNothing},          {"TEE", Kind::kNothing},
    {"RATEEST", Kind::kNothing},      {"NFACCT", Kind::kNothing},
}};

template <typename Number>
FilterBytes bytes_of(Number number) {
  const auto* from = reinterpret_cast<const std::uint8_t*>(&number);
  return {from, from + sizeof number};
}

FilterOperation mark_target(std::uint32_t revision, NetlinkBytes info) {
  auto read = read_structure<xt_mark_tginfo2>(info);
  if (!read || revision != 2) return {.kind = Kind::kMarkUnknown};
  FilterOperation operation{.kind = Kind::kMaskMark};
  operation.value = bytes_of(read->mask);
  operation.second = bytes_of(read->mark);
  return operation;
}

}  // namespace

FilterOperation xt_match_operation(std::string name, std::uint32_t revision, NetlinkBytes info) {
  constexpr std::uint32_t kMaxRevision = 0xff;
  if (name == "comment") {
    FilterOperation operation;
    operation.value.assign(info.begin(), std::ranges::find(info, std::uint8_t{0}));
    operation.name = std::move(name);
    return operation;
  }
  FilterOperation operation{.kind = Kind::kXtMatch};
  operation.name = std::move(name);
  operation.revision = static_cast<std::uint8_t>(std::min(revision, kMaxRevision));
  operation.value.assign(info.begin(), info.end());
  return operation;
}

FilterOperation xt_target_operation(const std::string& name, std::uint32_t revision,
                                    NetlinkBytes info) {
  if (name == "MARK") return mark_target(revision, info);
  for (const Target& target : kTargets) {
    if (name == target.name) return {.kind = target.kind};
  }
  return {.kind = Kind::kUnknown};
}

namespace {

bool in_range(std::uint16_t port, const std::uint16_t (&range)[2]) {
  return port >= range[0] && port <= range[1];
}

// Whether the destination's port is in a range, or is not known.
Tristate destination_port(const PacketFacts& packet, const std::uint16_t (&range)[2],
                          bool inverted) {
  const bool whole = range[0] == 0 && range[1] == UINT16_MAX;
  if (!packet.port_known && !whole) return Tristate::kPerhaps;
  return tristate(in_range(packet.destination.port, range) != inverted);
}

// A source port is the kernel's to choose: only the whole range is sure to have it.
Tristate source_port(const std::uint16_t (&range)[2], bool inverted) {
  const Tristate whole =
      range[0] == 0 && range[1] == UINT16_MAX ? Tristate::kYes : Tristate::kPerhaps;
  return inverted ? !whole : whole;
}

Tristate tcp(const FilterOperation& match, const PacketFacts& packet) {
  auto info = read_structure<xt_tcp>(match.value);
  if (!info || match.revision != 0) return Tristate::kPerhaps;
  if (packet.protocol != IPPROTO_TCP) return Tristate::kNo;
  const bool on_flags = info->option != 0 || info->flg_mask != 0 ||
                        (info->invflags & (XT_TCP_INV_FLAGS | XT_TCP_INV_OPTION)) != 0;
  return source_port(info->spts, (info->invflags & XT_TCP_INV_SRCPT) != 0) &
         destination_port(packet, info->dpts, (info->invflags & XT_TCP_INV_DSTPT) != 0) &
         (on_flags ? Tristate::kPerhaps : Tristate::kYes);
}

Tristate udp(const FilterOperation& match, const PacketFacts& packet) {
  auto info = read_structure<xt_udp>(match.value);
  if (!info || match.revision != 0) return Tristate::kPerhaps;
  if (packet.protocol != IPPROTO_UDP) return Tristate::kNo;
  return source_port(info->spts, (info->invflags & XT_UDP_INV_SRCPT) != 0) &
         destination_port(packet, info->dpts, (info->invflags & XT_UDP_INV_DSTPT) != 0);
}

// The destination's type is unicast: the caller asks for no others.
Tristate address_type(const FilterOperation& match) {
  auto info = read_structure<xt_addrtype_info_v1>(match.value);
  if (!info || match.revision != 1) return Tristate::kPerhaps;
  Tristate result = Tristate::kYes;
  if (info->source != 0) result = Tristate::kPerhaps;
  if (info->dest != 0) {
    const bool inverted = (info->flags & XT_ADDRTYPE_INVERT_DEST) != 0;
    const bool unicast = (info->dest & XT_ADDRTYPE_UNICAST) != 0;
    result = result & tristate(unicast != inverted);
  }
  return result;
}

Tristate mark(const FilterOperation& match, const XtPacket& packet) {
  auto info = read_structure<xt_mark_mtinfo1>(match.value);
  if (!info || match.revision != 1) return Tristate::kPerhaps;
  Tristate result = Tristate::kYes;
  if (((packet.mark ^ info->mark) & info->mask & packet.known_mark) != 0 ||
      (info->mark & ~info->mask) != 0) {
    result = Tristate::kNo;
  } else if ((info->mask & ~packet.known_mark) != 0) {
    result = Tristate::kPerhaps;
  }
  return info->invert != 0 ? !result : result;
}

constexpr unsigned kNewConnection = 1U << (IP_CT_NEW + 1);

Tristate state(const FilterOperation& match, const XtPacket& packet) {
  auto info = read_structure<xt_state_info>(match.value);
  if (!info || !packet.tracked) return Tristate::kPerhaps;
  return tristate((info->statemask & kNewConnection) != 0);
}

Tristate conntrack(const FilterOperation& match, const XtPacket& packet) {
  constexpr std::uint16_t kState = 1;  // XT_CONNTRACK_STATE
  auto info = read_structure<xt_conntrack_mtinfo3>(match.value);
  if (!info || match.revision != 3 || !packet.tracked || info->match_flags != kState) {
    return Tristate::kPerhaps;
  }
  const bool inverted = (info->invert_flags & kState) != 0;
  return tristate(((info->state_mask & kNewConnection) != 0) != inverted);
}

Tristate multiport(const FilterOperation& match, const PacketFacts& packet) {
  auto info = read_structure<xt_multiport_v1>(match.value);
  if (!info || match.revision != 1 || info->count > XT_MULTI_PORTS) return Tristate::kPerhaps;
  if (info->flags != XT_MULTIPORT_DESTINATION) return Tristate::kPerhaps;
  if (!packet.port_known) return Tristate::kPerhaps;
  bool found = false;
  for (std::size_t i = 0; i < info->count; ++i) {
    const std::uint16_t from = info->ports[i];
    // A port with a flag begins a range that the next one ends.
    if (info->pflags[i] != 0 && i + 1 < info->count) ++i;
    found = found || (packet.destination.port >= from && packet.destination.port <= info->ports[i]);
  }
  return tristate(found != (info->invert != 0));
}

bool device_matches(const std::string& name, const char* wanted, const unsigned char* mask) {
  for (std::size_t i = 0; i < IFNAMSIZ; ++i) {
    const char actual = i < name.size() ? name[i] : '\0';
    if (((static_cast<unsigned char>(actual) ^ static_cast<unsigned char>(wanted[i])) & mask[i]) !=
        0) {
      return false;
    }
  }
  return true;
}

Tristate inverted_if(bool inverted, Tristate value) { return inverted ? !value : value; }

// An address of which the bits in `known` are known, under a rule's mask. ip_tables compares all of
// the rule's address, ip6_tables only what is under the mask.
using AddressBytes = std::array<std::uint8_t, sizeof(Address::bytes)>;
Tristate address_matches(const Address& address, const AddressBytes& known,
                         const std::uint8_t* wanted, const std::uint8_t* mask, std::size_t size) {
  const std::size_t from = known.size() - size;
  Tristate result = Tristate::kYes;
  for (std::size_t i = 0; i < size; ++i) {
    const std::uint8_t sure = known.at(from + i);
    if (size == sizeof(in_addr) && (wanted[i] & ~mask[i]) != 0) return Tristate::kNo;
    if (((address.bytes.at(from + i) ^ wanted[i]) & mask[i] & sure) != 0) return Tristate::kNo;
    if ((mask[i] & ~sure) != 0) result = Tristate::kPerhaps;
  }
  return result;
}

Tristate source_matches(const PacketFacts& packet, const std::uint8_t* wanted,
                        const std::uint8_t* mask, std::size_t size) {
  AddressBytes known{};
  if (packet.source) known.fill(0xff);
  return address_matches(packet.source.value_or(Address{}), known, wanted, mask, size);
}

Tristate destination_matches(const PacketFacts& packet, const std::uint8_t* wanted,
                             const std::uint8_t* mask, std::size_t size) {
  return address_matches(packet.destination.address, packet.known_address(), wanted, mask, size);
}

template <typename Header>
Tristate header_matches(const Header& header, const XtPacket& packet) {
  const auto* source = reinterpret_cast<const std::uint8_t*>(&header.src);
  const auto* source_mask = reinterpret_cast<const std::uint8_t*>(&header.smsk);
  const auto* to = reinterpret_cast<const std::uint8_t*>(&header.dst);
  const auto* to_mask = reinterpret_cast<const std::uint8_t*>(&header.dmsk);
  const unsigned inverted = header.invflags;
  Tristate in =
      tristate(device_matches(packet.packet.in.name, header.iniface, header.iniface_mask));
  const bool any_device = std::ranges::all_of(header.iniface_mask, [](auto c) { return c == 0; });
  if (!packet.in_known && !any_device) in = Tristate::kPerhaps;
  Tristate result =
      inverted_if((inverted & IPT_INV_SRCIP) != 0,
                  source_matches(packet.packet, source, source_mask, sizeof header.src)) &
      inverted_if((inverted & IPT_INV_DSTIP) != 0,
                  destination_matches(packet.packet, to, to_mask, sizeof header.dst)) &
      inverted_if((inverted & IPT_INV_VIA_IN) != 0, in) &
      inverted_if(
          (inverted & IPT_INV_VIA_OUT) != 0,
          tristate(device_matches(packet.packet.out.name, header.outiface, header.outiface_mask)));
  if (header.proto != 0) {
    result = result & inverted_if((inverted & IPT_INV_PROTO) != 0,
                                  tristate(header.proto == packet.packet.protocol));
  }
  return result;
}

}  // namespace

Tristate evaluate_xt_match(const FilterOperation& match, const XtPacket& packet) {
  if (match.name == "tcp") return tcp(match, packet.packet);
  if (match.name == "udp") return udp(match, packet.packet);
  if (match.name == "addrtype") return address_type(match);
  if (match.name == "mark") return mark(match, packet);
  if (match.name == "state") return state(match, packet);
  if (match.name == "conntrack") return conntrack(match, packet);
  if (match.name == "multiport") return multiport(match, packet.packet);
  if (match.name == "icmp" || match.name == "icmp6") return Tristate::kNo;
  return Tristate::kPerhaps;
}

Tristate evaluate_xt_packet(const FilterOperation& match, const XtPacket& packet) {
  if (match.key == AF_INET) {
    auto header = read_structure<ipt_ip>(match.value);
    if (!header) return Tristate::kPerhaps;
    Tristate result = header_matches(*header, packet);
    // Fragments: the first packet is none.
    if ((header->flags & IPT_F_FRAG) != 0) {
      result = result & tristate((header->invflags & IPT_INV_FRAG) != 0);
    }
    return result;
  }
  auto header = read_structure<ip6t_ip6>(match.value);
  if (!header) return Tristate::kPerhaps;
  Tristate result = header_matches(*header, packet);
  if ((header->flags & IP6T_F_TOS) != 0) result = result & Tristate::kPerhaps;
  return result;
}

}  // namespace sockswitch
