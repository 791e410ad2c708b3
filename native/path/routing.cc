#include "path/routing.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <utility>

namespace sockswitch {
namespace {

// linux/rtnetlink.h and linux/fib_rules.h of later kernels.
constexpr std::uint16_t kRtaNhId = 30;       // Linux 5.3
constexpr std::uint16_t kFraDscp = 25;       // 6.13
constexpr std::uint16_t kFraFlowlabel = 26;  // 6.14
constexpr std::uint16_t kFraDportMask = 29;  // 6.14: of FRA_DPORT_RANGE, reported always

// The priority of the route that Linux puts where an IPv6 namespace has no default route.
constexpr std::uint32_t kNullEntryPriority = 0xffffffff;

bool is_null_entry(const FoundRoute& route) {
  return !route.v4 && route.type != RTN_UNICAST && route.prefix_length == 0 &&
         route.priority == kNullEntryPriority;
}

// Attributes of a route that say nothing about where its packets go, or that are read below.
bool is_plain(std::uint16_t type) {
  switch (type) {
    case RTA_DST:
    case RTA_SRC:
    case RTA_IIF:
    case RTA_OIF:
    case RTA_GATEWAY:
    case RTA_PRIORITY:
    case RTA_PREFSRC:
    case RTA_METRICS:
    case RTA_FLOW:
    case RTA_CACHEINFO:
    case RTA_TABLE:
    case RTA_MARK:
    case RTA_PREF:
    case RTA_EXPIRES:
    case RTA_UID:
    case RTA_PAD:
    case RTA_IP_PROTO:
    case RTA_SPORT:
    case RTA_DPORT:
      return true;
    default:
      return false;
  }
}

const char* strange_text(std::uint16_t type) {
  switch (type) {
    case RTA_ENCAP:
    case RTA_ENCAP_TYPE:
      return "an encapsulation";
    case RTA_VIA:
      return "a next hop of another family";
    case kRtaNhId:
      return "a next-hop object";
    default:
      return nullptr;
  }
}

// Device and gateway of the first of several next hops.
void read_first_hop(const NetlinkAttribute& attribute, FoundRoute& route) {
  auto hop = read_structure<rtnexthop>(attribute.data);
  if (!hop || hop->rtnh_len < sizeof *hop || hop->rtnh_len > attribute.data.size()) return;
  route.device = hop->rtnh_ifindex;
  bool whole = walk_attributes(attribute.data.first(hop->rtnh_len).subspan(sizeof *hop),
                               [&](const NetlinkAttribute& inner) {
                                 if (inner.type == RTA_GATEWAY) route.gateway = inner.address();
                               });
  if (!whole) route.device = 0;
}

void read_attribute(const NetlinkAttribute& attribute, FoundRoute& route) {
  switch (attribute.type) {
    case RTA_MULTIPATH:
      read_first_hop(attribute, route);
      route.strange = "several next hops";
      break;
    case RTA_OIF:
      route.device = attribute.number<std::int32_t>().value_or(0);
      break;
    case RTA_GATEWAY:
      route.gateway = attribute.address();
      if (!route.gateway) route.strange = "a gateway that is no address";
      break;
    case RTA_PREFSRC:
      route.source = attribute.address();
      break;
    case RTA_DST:
      route.network = attribute.address().value_or(Address{});
      break;
    case RTA_PRIORITY:
      route.priority = attribute.number<std::uint32_t>().value_or(0);
      break;
    case RTA_TABLE:
      route.table = attribute.number<std::uint32_t>().value_or(0);
      break;
    default:
      if (is_plain(attribute.type)) break;
      if (const char* text = strange_text(attribute.type)) {
        route.strange = text;
      } else {
        route.strange = "attribute " + std::to_string(attribute.type);
      }
  }
}

std::optional<FoundRoute> ask(NetlinkSocket& socket, const RoutedPacket& packet, unsigned flags) {
  bool v4 = packet.destination.is_v4();
  auto bits = static_cast<std::uint8_t>(v4 ? 32 : 128);
  NetlinkRequest request(RTM_GETROUTE);
  request.header(rtmsg{.rtm_family = static_cast<std::uint8_t>(v4 ? AF_INET : AF_INET6),
                       .rtm_dst_len = bits,
                       .rtm_src_len = packet.source ? bits : std::uint8_t{0},
                       .rtm_flags = flags});
  request.address(RTA_DST, packet.destination);
  if (packet.source) request.address(RTA_SRC, *packet.source);
  if (packet.in_device != 0) request.number<std::int32_t>(RTA_IIF, packet.in_device);
  if (packet.uid) request.number<std::uint32_t>(RTA_UID, *packet.uid);
  request.number<std::uint8_t>(RTA_IP_PROTO, IPPROTO_TCP);
  if (packet.port != 0) request.big_endian16(RTA_DPORT, packet.port);
  NetlinkAnswer answer = socket.ask(request);
  if (!answer.complete()) return {};
  auto first = answer.first();
  return first ? parse_route(*first) : std::nullopt;
}

std::string rule_name(std::uint32_t priority) { return "rule " + std::to_string(priority); }

// A rule as every namespace has it from the start: all packets, to the tables local, main, default.
bool is_initial(const fib_rule_hdr& header, std::uint32_t priority, std::uint32_t table) {
  if (header.action != FR_ACT_TO_TBL || header.flags != 0) return false;
  return (priority == 0 && table == RT_TABLE_LOCAL) ||
         (priority == 32766 && table == RT_TABLE_MAIN) ||
         (priority == 32767 && table == RT_TABLE_DEFAULT);
}

}  // namespace

std::string FoundRoute::prefix_text() const {
  Address shown = network;
  if (v4 && !network.is_v4()) shown = Address::from_v4(in_addr{INADDR_ANY});
  return shown.text() + "/" + std::to_string(prefix_length);
}

std::optional<FoundRoute> parse_route(const NetlinkMessage& message) {
  if (message.type != RTM_NEWROUTE) return {};
  auto header = message.header<rtmsg>();
  if (!header || (header->rtm_family != AF_INET && header->rtm_family != AF_INET6)) return {};
  FoundRoute route{.type = header->rtm_type, .tos = header->rtm_tos, .table = header->rtm_table};
  route.prefix_length = header->rtm_dst_len;
  route.source_length = header->rtm_src_len;
  route.v4 = header->rtm_family == AF_INET;
  bool whole =
      walk_attributes(message.attributes(sizeof(rtmsg)),
                      [&](const NetlinkAttribute& attribute) { read_attribute(attribute, route); });
  if (!whole) return {};
  return route;
}

std::vector<FoundRoute> default_routes(NetlinkSocket& socket) {
  NetlinkRequest request(RTM_GETROUTE, NLM_F_DUMP);
  request.header(rtmsg{.rtm_family = AF_UNSPEC});
  NetlinkAnswer answer = socket.ask(request);
  std::vector<FoundRoute> routes;
  NetlinkMessages messages = answer.messages();
  for (NetlinkMessage message; messages.next(message);) {
    auto route = parse_route(message);
    if (!route || route->prefix_length != 0) continue;
    if (route->type == RTN_UNICAST && route->device > 0) routes.push_back(std::move(*route));
  }
  return routes;
}

std::optional<FoundRoute> route_of(NetlinkSocket& socket, const RoutedPacket& packet) {
  return ask(socket, packet, 0);
}

std::optional<FoundRoute> entry_of(NetlinkSocket& socket, const RoutedPacket& packet) {
  return ask(socket, packet, RTM_F_FIB_MATCH);
}

bool add_rule(const NetlinkMessage& message, RuleSelectors& selectors) {
  if (message.type != RTM_NEWRULE) return false;
  auto header = message.header<fib_rule_hdr>();
  if (!header) return false;
  std::uint32_t priority = 0;
  std::uint32_t table = header->table;
  std::uint8_t protocol = 0;
  RuleSelectors added = selectors;
  bool selects = header->src_len != 0 || header->dst_len != 0 || header->tos != 0;
  const char* unknown = header->tos != 0 ? "type of service" : nullptr;
  std::string other;
  if (header->src_len != 0) added.source = true;
  bool whole = walk_attributes(message.attributes(sizeof(fib_rule_hdr)),
                               [&](const NetlinkAttribute& attribute) {
                                 switch (attribute.type) {
                                   case FRA_PRIORITY:
                                     priority = attribute.number<std::uint32_t>().value_or(0);
                                     return;
                                   case FRA_TABLE:
                                     table = attribute.number<std::uint32_t>().value_or(0);
                                     return;
                                   case FRA_UID_RANGE:
                                     added.uid = true;
                                     break;
                                   case kFraDportMask:
                                   case FRA_DPORT_RANGE:
                                     added.port = true;
                                     break;
                                   case FRA_SRC:
                                     added.source = true;
                                     break;
                                   case FRA_SPORT_RANGE:
                                     unknown = "source port";
                                     break;
                                   case kFraDscp:
                                     unknown = "type of service";
                                     break;
                                   case kFraFlowlabel:
                                     unknown = "flow label";
                                     break;
                                   case FRA_IP_PROTO:
                                     protocol = attribute.number<std::uint8_t>().value_or(0);
                                     break;
                                   // Told to the kernel, or the same for each packet that we follow
                                   // (no mark, no device that the socket is bound to, no tunnel
                                   // key).
                                   case FRA_DST:
                                   case FRA_IIFNAME:
                                   case FRA_OIFNAME:
                                   case FRA_GOTO:
                                   case FRA_FWMARK:
                                   case FRA_FWMASK:
                                   case FRA_TUN_ID:
                                   case FRA_L3MDEV:
                                     break;
                                   // Not selectors.
                                   case FRA_FLOW:
                                   case FRA_PAD:
                                   case FRA_PROTOCOL:
                                     return;
                                   // -1: what it finds counts.
                                   case FRA_SUPPRESS_IFGROUP:
                                   case FRA_SUPPRESS_PREFIXLEN:
                                     if (attribute.number<std::uint32_t>() == UINT32_MAX) return;
                                     break;
                                   default:
                                     other = "attribute " + std::to_string(attribute.type);
                                     unknown = other.c_str();
                                     break;
                                 }
                                 selects = true;
                               });
  if (!whole) return false;
  const bool is_of_other_protocol = protocol != 0 && protocol != IPPROTO_TCP &&
                                    (header->flags & FIB_RULE_INVERT) == 0 && other.empty();
  if (is_of_other_protocol) return true;
  if (unknown) added.unknown = rule_name(priority) + ": " + unknown;
  if (selects || !is_initial(*header, priority, table)) added.plain = false;
  selectors = std::move(added);
  return true;
}

RoutingTables read_tables(NetlinkSocket& socket) {
  RoutingTables tables;
  for (int family : {AF_INET, AF_INET6}) {
    NetlinkRequest request(RTM_GETRULE, NLM_F_DUMP);
    request.header(fib_rule_hdr{.family = static_cast<std::uint8_t>(family)});
    NetlinkAnswer answer = socket.ask(request);
    // No IPv6 in the kernel: no rules.
    if (answer.status() == NetlinkStatus::kRefused && family == AF_INET6) continue;
    if (!answer.complete()) {
      tables.unknown = "its routing rules cannot be read: " + answer.reason();
      return tables;
    }
    NetlinkMessages messages = answer.messages();
    for (NetlinkMessage message; messages.next(message);) {
      RuleSelectors& selectors = family == AF_INET ? tables.v4 : tables.v6;
      if (!add_rule(message, selectors)) selectors.unknown = "a rule that cannot be read";
    }
  }
  NetlinkRequest request(RTM_GETROUTE, NLM_F_DUMP);
  request.header(rtmsg{.rtm_family = AF_UNSPEC});
  NetlinkAnswer answer = socket.ask(request);
  if (!answer.complete()) {
    tables.unknown = "its routes cannot be read: " + answer.reason();
    return tables;
  }
  NetlinkMessages messages = answer.messages();
  for (NetlinkMessage message; messages.next(message);) {
    auto route = parse_route(message);
    if (!route) continue;
    switch (route->type) {
      case RTN_LOCAL:
      case RTN_BROADCAST:
      case RTN_ANYCAST:
        tables.own.push_back(std::move(*route));
        break;
      case RTN_MULTICAST:
        break;
      default:
        if (is_null_entry(*route)) break;
        tables.routes.push_back(std::move(*route));
    }
  }
  return tables;
}

}  // namespace sockswitch
