#include "kernel/netlink.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>

namespace sockswitch {
namespace {

constexpr int kMaxDrained = 256;  // messages at a time

// The first next hop of a multipath route: device and gateway. False if it is malformed.
bool read_first_hop(const NetlinkAttribute& attribute, Route& route) {
  auto hop = read_structure<rtnexthop>(attribute.data);
  if (!hop || hop->rtnh_len < sizeof *hop || hop->rtnh_len > attribute.data.size()) return false;
  route.device = hop->rtnh_ifindex;
  return walk_attributes(attribute.data.first(hop->rtnh_len).subspan(sizeof *hop),
                         [&](const NetlinkAttribute& inner) {
                           if (inner.type != RTA_GATEWAY && inner.type != RTA_VIA) return;
                           route.has_gateway = true;
                           if (auto gateway = inner.address()) route.gateway = *gateway;
                         });
}

std::optional<Route> route_of(const NetlinkMessage& answer) {
  auto message = answer.header<rtmsg>();
  if (!message || answer.type != RTM_NEWROUTE) return {};
  Route route;
  route.type = message->rtm_type;
  std::optional<Address> prefix;
  bool hops_fine = true;
  bool fine =
      walk_attributes(answer.attributes(sizeof(rtmsg)), [&](const NetlinkAttribute& attribute) {
        switch (attribute.type) {
          case RTA_OIF:
            route.device = attribute.number<int>().value_or(0);
            break;
          case RTA_GATEWAY:
            route.has_gateway = true;
            if (auto gateway = attribute.address()) route.gateway = *gateway;
            break;
          case RTA_VIA:
            route.has_gateway = true;
            break;
          case RTA_DST:
            prefix = attribute.address();
            break;
          case RTA_MULTIPATH:
            hops_fine = read_first_hop(attribute, route);
            break;
          default:
            break;
        }
      });
  if (!fine || !hops_fine) return {};
  std::string network = prefix ? prefix->text() : message->rtm_family == AF_INET ? "0.0.0.0" : "::";
  route.prefix = network + "/" + std::to_string(message->rtm_dst_len);
  return route;
}

}  // namespace

std::optional<Route> parse_route(const void* data, std::size_t size) {
  NetlinkMessages walk({static_cast<const std::uint8_t*>(data), size});
  NetlinkMessage message;
  if (!walk.next(message)) return {};
  return route_of(message);
}

std::optional<Route> RouteSocket::ask(const Address& destination, bool matched_entry) {
  rtmsg message{};
  message.rtm_family = destination.is_v4() ? AF_INET : AF_INET6;
  message.rtm_dst_len = destination.is_v4() ? 32 : 128;
  if (matched_entry) message.rtm_flags = RTM_F_FIB_MATCH;
  NetlinkRequest request(RTM_GETROUTE);
  request.header(message).address(RTA_DST, destination);
  const NetlinkAnswer answer = socket_.ask(request);
  const auto first = answer.first();
  return first ? route_of(*first) : std::nullopt;
}

std::vector<Route> RouteSocket::default_routes() {
  NetlinkRequest request(RTM_GETROUTE, NLM_F_DUMP);
  request.header(rtmsg{});  // AF_UNSPEC
  const NetlinkAnswer answer = socket_.ask(request);
  std::vector<Route> routes;
  NetlinkMessages walk = answer.messages();
  for (NetlinkMessage entry; walk.next(entry);) {
    auto message = entry.header<rtmsg>();
    if (!message || message->rtm_dst_len != 0) continue;
    auto route = route_of(entry);
    if (route && route->type == RTN_UNICAST && route->device > 0) routes.push_back(*route);
  }
  return routes;
}

UniqueFd open_route_socket() { return open_netlink(NETLINK_ROUTE); }

UniqueFd open_route_monitor() {
  constexpr int kGroups[] = {RTNLGRP_LINK,      RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE,
                             RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE,
                             RTNLGRP_IPV6_RULE};
  return open_netlink(NETLINK_ROUTE, kGroups);
}

void drain_monitor(int fd) {
  char buffer[8192];
  // Not for ever: a container that changes its routes all the time must let others be looked at.
  for (int i = 0; i < kMaxDrained; ++i) {
    ssize_t got = ::recv(fd, buffer, sizeof buffer, MSG_TRUNC);
    // ENOBUFS: the kernel dropped messages, which is a change like any other.
    if (got == 0 || (got < 0 && errno != ENOBUFS && errno != EINTR)) return;
  }
}

}  // namespace sockswitch
