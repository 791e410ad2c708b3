#include "path/link.h"

#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>

#include "kernel/netconf.h"
#include "kernel/netlink.h"

namespace sockswitch {
namespace {

// One attribute of one byte in `data`; no value if it is not there.
std::optional<std::uint8_t> byte_in(NetlinkBytes data, int type) {
  std::optional<std::uint8_t> found;
  bool whole = walk_attributes(data, [&](const NetlinkAttribute& attribute) {
    if (attribute.type == type) found = attribute.number<std::uint8_t>();
  });
  return whole ? found : std::nullopt;
}

// IFLA_LINKINFO: the kind, and what is asked of bridges and their ports.
void read_info(const NetlinkAttribute& info, Link& link) {
  constexpr std::uint8_t kForwarding = 3;  // BR_STATE_FORWARDING
  std::string port_kind;
  NetlinkBytes port;
  NetlinkBytes data;
  bool whole = walk_attributes(info.data, [&](const NetlinkAttribute& attribute) {
    if (attribute.type == IFLA_INFO_KIND) link.kind = attribute.text();
    if (attribute.type == IFLA_INFO_DATA) data = attribute.data;
    if (attribute.type == IFLA_INFO_SLAVE_KIND) port_kind = attribute.text();
    if (attribute.type == IFLA_INFO_SLAVE_DATA) port = attribute.data;
  });
  if (!whole) {
    link.kind.clear();
    return;
  }
  if (link.kind == "bridge") {
    link.filters_vlans = byte_in(data, IFLA_BR_VLAN_FILTERING).value_or(1) != 0;
  }
  if (port_kind == "bridge") {
    link.forwards = byte_in(port, IFLA_BRPORT_STATE) == kForwarding &&
                    byte_in(port, IFLA_BRPORT_LOCKED).value_or(0) == 0;
  }
}

}  // namespace

std::optional<Link> parse_link(const NetlinkMessage& message) {
  if (message.type != RTM_NEWLINK) return {};
  auto header = message.header<ifinfomsg>();
  if (!header) return {};
  Link link{.index = header->ifi_index,
            .up = (header->ifi_flags & IFF_UP) != 0,
            .resolves = (header->ifi_flags & IFF_NOARP) == 0};
  bool whole = walk_attributes(message.attributes(sizeof(ifinfomsg)),
                               [&](const NetlinkAttribute& attribute) {
                                 switch (attribute.type) {
                                   case IFLA_IFNAME:
                                     link.name = attribute.text();
                                     break;
                                   case IFLA_LINKINFO:
                                     read_info(attribute, link);
                                     break;
                                   case IFLA_MASTER:
                                     link.master = attribute.number<std::int32_t>().value_or(0);
                                     break;
                                   case IFLA_LINK:
                                     link.peer = attribute.number<std::int32_t>().value_or(0);
                                     break;
                                   case IFLA_LINK_NETNSID:
                                     link.peer_netns = attribute.number<std::int32_t>();
                                     break;
                                   default:
                                     break;
                                 }
                               });
  if (!whole || link.index <= 0 || link.name.empty()) return {};
  return link;
}

std::optional<Link> link_of(NetlinkSocket& socket, int index) {
  NetlinkRequest request(RTM_GETLINK);
  request.header(ifinfomsg{.ifi_family = AF_UNSPEC, .ifi_index = index});
  NetlinkAnswer answer = socket.ask(request);
  auto first = answer.first();
  auto link = first ? parse_link(*first) : std::nullopt;
  if (link && link->index != index) return {};
  return link;
}

std::optional<Link> link_named(NetlinkSocket& socket, std::string_view name) {
  NetlinkRequest request(RTM_GETLINK);
  request.header(ifinfomsg{.ifi_family = AF_UNSPEC}).text(IFLA_IFNAME, name);
  NetlinkAnswer answer = socket.ask(request);
  auto first = answer.first();
  auto link = first ? parse_link(*first) : std::nullopt;
  if (link && link->name != name) return {};
  return link;
}

std::optional<bool> has_links(NetlinkSocket& socket) {
  NetlinkRequest request(RTM_GETLINK, NLM_F_DUMP);
  request.header(ifinfomsg{.ifi_family = AF_UNSPEC});
  NetlinkAnswer answer = socket.ask(request);
  if (!answer.complete()) return {};
  NetlinkMessages messages = answer.messages();
  for (NetlinkMessage message; messages.next(message);) {
    auto header = message.header<ifinfomsg>();
    if (header && (header->ifi_flags & IFF_LOOPBACK) == 0) return true;
  }
  return false;
}

std::optional<bool> has_fixed_neighbour(NetlinkSocket& socket, int device, const Address& address) {
  const bool v4 = address.is_v4();
  NetlinkRequest request(RTM_GETNEIGH);
  request.header(ndmsg{.ndm_family = static_cast<std::uint8_t>(v4 ? AF_INET : AF_INET6),
                       .ndm_ifindex = device});
  request.address(NDA_DST, address);
  NetlinkAnswer answer = socket.ask(request);
  if (answer.error() == ENOENT) return false;
  auto first = answer.first();
  auto entry = first && first->type == RTM_NEWNEIGH ? first->header<ndmsg>() : std::nullopt;
  if (!entry) return {};
  return is_fixed(*entry);
}

std::optional<bool> answers_for_others(NetlinkSocket& socket, int device) {
  bool answers = false;
  for (const int which : {NETCONFA_IFINDEX_ALL, device}) {
    const auto setting = ipv4_setting(socket, which, NETCONFA_PROXY_NEIGH);
    if (!setting) return {};
    answers = answers || *setting != 0;
  }
  return answers;
}

std::optional<bool> forwards_ipv6(NetlinkSocket& socket) {
  const auto setting = ipv6_setting(socket, NETCONFA_IFINDEX_ALL, NETCONFA_FORWARDING);
  return setting ? std::optional(*setting != 0) : std::nullopt;
}

std::optional<int> number_of(NetlinkSocket& socket, int netns) {
  NetlinkRequest request(RTM_GETNSID);
  request.header(rtgenmsg{.rtgen_family = AF_UNSPEC});
  request.number<std::int32_t>(NETNSA_FD, netns);
  NetlinkAnswer answer = socket.ask(request);
  auto first = answer.first();
  if (!first || first->type != RTM_NEWNSID) return {};
  std::optional<int> number;
  bool whole =
      walk_attributes(first->attributes(sizeof(rtgenmsg)), [&](const NetlinkAttribute& attribute) {
        if (attribute.type == NETNSA_NSID) {
          number = attribute.number<std::int32_t>();
        }
      });
  if (!whole || !number || *number < 0) return {};
  return number;
}

}  // namespace sockswitch
