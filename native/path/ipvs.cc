#include "path/ipvs.h"

#include <arpa/inet.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>

#include <algorithm>

#include "kernel/generic_netlink.h"

namespace sockswitch {
namespace {

std::optional<Address> service_address(int family, NetlinkBytes bytes) {
  // union nf_inet_addr: 16 bytes, of which IPv4 uses the first four.
  if (family == AF_INET6) {
    auto v6 = read_structure<in6_addr>(bytes);
    return v6 ? std::optional(Address::from_v6(*v6)) : std::nullopt;
  }
  auto v4 = read_structure<in_addr>(bytes);
  return v4 ? std::optional(Address::from_v4(*v4)) : std::nullopt;
}

}  // namespace

std::optional<IpvsService> parse_ipvs_service(const NetlinkMessage& message) {
  const auto header = message.header<genlmsghdr>();
  if (!header || header->cmd != IPVS_CMD_NEW_SERVICE) return {};
  NetlinkBytes inner;
  bool fine = walk_attributes(message.attributes(sizeof(genlmsghdr)),
                              [&](const NetlinkAttribute& attribute) {
                                if (attribute.type == IPVS_CMD_ATTR_SERVICE) inner = attribute.data;
                              });
  IpvsService service;
  NetlinkBytes address;
  bool by_mark = false;
  fine = walk_attributes(inner,
                         [&](const NetlinkAttribute& attribute) {
                           switch (attribute.type) {
                             case IPVS_SVC_ATTR_AF:
                               service.family = attribute.number<std::uint16_t>().value_or(0);
                               break;
                             case IPVS_SVC_ATTR_PROTOCOL:
                               service.protocol = attribute.number<std::uint16_t>().value_or(0);
                               break;
                             case IPVS_SVC_ATTR_ADDR:
                               address = attribute.data;
                               break;
                             case IPVS_SVC_ATTR_PORT:
                               service.port = attribute.big_endian16().value_or(0);
                               break;
                             case IPVS_SVC_ATTR_FWMARK:
                               by_mark = true;
                               break;
                             default:
                               break;
                           }
                         }) &&
         fine;
  if (!fine || (service.family != AF_INET && service.family != AF_INET6)) return {};
  if (by_mark) return service;
  service.address = service_address(service.family, address);
  if (!service.address) return {};
  return service;
}

bool Ipvs::may_translate(const PacketFacts& packet) const {
  const int family = packet.destination.address.is_v4() ? AF_INET : AF_INET6;
  return std::ranges::any_of(services, [&](const IpvsService& service) {
    if (service.family != family) return false;
    if (!service.address) return true;
    if (service.protocol != packet.protocol) return false;
    if (!Prefix::of(packet.destination.address, packet.known_bits).contains(*service.address)) {
      return false;
    }
    return !packet.port_known || service.port == 0 || service.port == packet.destination.port;
  });
}

Ipvs read_ipvs(NetlinkSocket& socket) {
  Ipvs ipvs;
  auto fail = [&](const std::string& why) {
    ipvs.trouble = "IPVS cannot be read: " + why;
    return ipvs;
  };
  const GenericFamily family = find_generic_family(socket, IPVS_GENL_NAME);
  if (!family.trouble.empty()) return fail(family.trouble);
  if (!family.number) return ipvs;
  NetlinkRequest services(*family.number, NLM_F_DUMP);
  services.header(genlmsghdr{.cmd = IPVS_CMD_GET_SERVICE, .version = IPVS_GENL_VERSION});
  const NetlinkAnswer answer = socket.ask(services);
  if (!answer.complete()) return fail(answer.reason());
  NetlinkMessages walk = answer.messages();
  for (NetlinkMessage message; walk.next(message);) {
    auto service = parse_ipvs_service(message);
    if (!service) return fail("malformed answer");
    ipvs.services.push_back(*service);
  }
  return ipvs;
}

}  // namespace sockswitch
