#include "kernel/netlink.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kernel/errno_error.h"

namespace sockswitch {
namespace {

// An answer to one route question is well below a page; a dump arrives in datagrams of up to 32
// KiB.
constexpr std::size_t kBufferSize = std::size_t{32} * 1024;

constexpr int kMaxDrained = 256;  // messages at a time

// What one rtattr says, bounds checked by the caller.
struct Attribute {
  std::uint16_t type;
  const std::uint8_t* data;
  std::size_t size;
};

// Calls `visit` for every attribute in [data, data + size); stops quietly at the first malformed
// one.
template <typename Visit>
void for_each_attribute(const std::uint8_t* data, std::size_t size, Visit visit) {
  while (size >= sizeof(rtattr)) {
    rtattr header{};
    std::memcpy(&header, data, sizeof header);
    if (header.rta_len < sizeof header || header.rta_len > size) return;
    visit(Attribute{static_cast<std::uint16_t>(header.rta_type & NLA_TYPE_MASK),
                    data + sizeof header, header.rta_len - sizeof header});
    std::size_t step = std::min<std::size_t>(RTA_ALIGN(header.rta_len), size);
    data += step;
    size -= step;
  }
}

std::optional<Address> address_of(const Attribute& attribute) {
  if (attribute.size == sizeof(in_addr)) {
    in_addr v4{};
    std::memcpy(&v4, attribute.data, sizeof v4);
    return Address::from_v4(v4);
  }
  if (attribute.size == sizeof(in6_addr)) {
    in6_addr v6{};
    std::memcpy(&v6, attribute.data, sizeof v6);
    return Address::from_v6(v6);
  }
  return {};
}

std::optional<int> int_of(const Attribute& attribute) {
  int value = 0;
  if (attribute.size < sizeof value) return {};
  std::memcpy(&value, attribute.data, sizeof value);
  return value;
}

// The first next hop of a multipath route: device and gateway.
void read_first_hop(const Attribute& attribute, Route& route) {
  rtnexthop hop{};
  if (attribute.size < sizeof hop) return;
  std::memcpy(&hop, attribute.data, sizeof hop);
  if (hop.rtnh_len < sizeof hop || hop.rtnh_len > attribute.size) return;
  route.device = hop.rtnh_ifindex;
  for_each_attribute(attribute.data + sizeof hop, hop.rtnh_len - sizeof hop,
                     [&](const Attribute& inner) {
                       if (inner.type != RTA_GATEWAY && inner.type != RTA_VIA) return;
                       route.has_gateway = true;
                       if (auto gateway = address_of(inner)) route.gateway = *gateway;
                     });
}

std::optional<Route> route_of(const std::uint8_t* payload, std::size_t size) {
  rtmsg message{};
  if (size < sizeof message) return {};
  std::memcpy(&message, payload, sizeof message);
  Route route;
  route.type = message.rtm_type;
  std::optional<Address> prefix;
  for_each_attribute(payload + NLMSG_ALIGN(sizeof message), size - NLMSG_ALIGN(sizeof message),
                     [&](const Attribute& attribute) {
                       switch (attribute.type) {
                         case RTA_OIF:
                           if (auto device = int_of(attribute)) route.device = *device;
                           break;
                         case RTA_GATEWAY:
                           route.has_gateway = true;
                           if (auto gateway = address_of(attribute)) route.gateway = *gateway;
                           break;
                         case RTA_VIA:
                           route.has_gateway = true;
                           break;
                         case RTA_DST:
                           prefix = address_of(attribute);
                           break;
                         case RTA_MULTIPATH:
                           read_first_hop(attribute, route);
                           break;
                         default:
                           break;
                       }
                     });
  std::string network = prefix ? prefix->text() : message.rtm_family == AF_INET ? "0.0.0.0" : "::";
  route.prefix = network + "/" + std::to_string(message.rtm_dst_len);
  return route;
}

// The kernel copes with a full answer or none: a datagram cut short is taken as no answer.
ssize_t receive(int fd, std::vector<std::uint8_t>& buffer) {
  for (;;) {
    ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got >= 0 || errno != EINTR) return got;
  }
}

}  // namespace

std::optional<Route> parse_route(const void* data, std::size_t size) {
  nlmsghdr header{};
  if (size < NLMSG_HDRLEN) return {};
  std::memcpy(&header, data, sizeof header);
  if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > size) return {};
  if (header.nlmsg_type != RTM_NEWROUTE) return {};
  std::size_t payload = header.nlmsg_len - NLMSG_HDRLEN;
  if (payload < NLMSG_ALIGN(sizeof(rtmsg))) return {};
  return route_of(static_cast<const std::uint8_t*>(data) + NLMSG_HDRLEN, payload);
}

std::optional<Route> RouteSocket::ask(const Address& destination, bool matched_entry) {
  struct {
    nlmsghdr header{};
    rtmsg message{};
    rtattr attribute{};
    std::uint8_t address[sizeof(in6_addr)]{};
  } request;
  bool v4 = destination.is_v4();
  std::size_t size = v4 ? sizeof(in_addr) : sizeof(in6_addr);
  request.header.nlmsg_len =
      static_cast<std::uint32_t>(offsetof(decltype(request), address) + size);
  request.header.nlmsg_type = RTM_GETROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.header.nlmsg_seq = ++sequence_;
  request.message.rtm_family = v4 ? AF_INET : AF_INET6;
  request.message.rtm_dst_len = static_cast<std::uint8_t>(size * 8);
  if (matched_entry) request.message.rtm_flags = RTM_F_FIB_MATCH;
  request.attribute.rta_type = RTA_DST;
  request.attribute.rta_len = static_cast<std::uint16_t>(RTA_LENGTH(size));
  std::memcpy(request.address, destination.bytes.data() + (sizeof(in6_addr) - size), size);

  if (::send(fd_.get(), &request, request.header.nlmsg_len, 0) < 0) return {};
  std::vector<std::uint8_t> buffer(4096);
  for (;;) {
    ssize_t got = receive(fd_.get(), buffer);
    if (got < static_cast<ssize_t>(sizeof(nlmsghdr))) return {};
    nlmsghdr header{};
    std::memcpy(&header, buffer.data(), sizeof header);
    if (header.nlmsg_seq != sequence_) continue;  // a late answer to an earlier question
    return parse_route(buffer.data(), static_cast<std::size_t>(got));
  }
}

std::vector<Route> RouteSocket::default_routes() {
  struct {
    nlmsghdr header{};
    rtmsg message{};
  } request;
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.header.nlmsg_seq = ++sequence_;
  request.message.rtm_family = AF_UNSPEC;

  std::vector<Route> routes;
  if (::send(fd_.get(), &request, sizeof request, 0) < 0) return routes;
  std::vector<std::uint8_t> buffer(kBufferSize);
  for (;;) {
    ssize_t got = receive(fd_.get(), buffer);
    if (got <= 0) return routes;
    auto rest = static_cast<std::size_t>(got);
    const std::uint8_t* at = buffer.data();
    while (rest >= NLMSG_HDRLEN) {
      nlmsghdr header{};
      std::memcpy(&header, at, sizeof header);
      if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > rest) break;
      if (header.nlmsg_seq == sequence_) {
        if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) return routes;
        rtmsg message{};
        if (header.nlmsg_len >= NLMSG_HDRLEN + sizeof message) {
          std::memcpy(&message, at + NLMSG_HDRLEN, sizeof message);
        }
        auto route = parse_route(at, rest);
        if (route && message.rtm_dst_len == 0 && route->type == RTN_UNICAST && route->device > 0) {
          routes.push_back(*route);
        }
      }
      std::size_t step = std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), rest);
      at += step;
      rest -= step;
    }
  }
}

UniqueFd open_route_socket() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) throw_errno("socket", "AF_NETLINK");
  return fd;
}

UniqueFd open_route_monitor() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!fd) throw_errno("socket", "AF_NETLINK");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_RULE |
                      RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE | (1U << (RTNLGRP_IPV6_RULE - 1));
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw_errno("bind", "AF_NETLINK");
  }
  return fd;
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
