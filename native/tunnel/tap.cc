#include "tunnel/tap.h"

#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/errno_error.h"
#include "kernel/netconf.h"
#include "tunnel/tun_abi.h"

namespace sockswitch::tunnel {
namespace {

constexpr const char* kNames = "ssw%d";  // the kernel takes the first free number
constexpr unsigned kPlainOffload = TUN_F_CSUM;
constexpr unsigned kTunnelOffload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN |
                                    abi::kTunnelGso | abi::kTunnelGsoChecksum;
constexpr std::uint32_t kMtu = 65521;  // a tap's largest: ETH_MAX_MTU less an Ethernet header
constexpr std::uint32_t kQueue = 1000;
constexpr std::uint16_t kRpFilter = 8;     // IPV4_DEVCONF_RP_FILTER (linux/ip.h)
constexpr std::uint32_t kLooseFilter = 2;  // any route to the source will do
constexpr const char* kLinkLocal = "169.254.115.119";
constexpr std::uint8_t kNoAddresses = 1;  // IN6_ADDR_GEN_MODE_NONE

void must(const NetlinkAnswer& answer, const char* what) {
  if (!answer.complete()) throw ErrnoError(answer.error(), "netlink", what);
}

NetlinkRequest link_request(int index, unsigned flags, unsigned change) {
  ifinfomsg message{};
  message.ifi_index = index;
  message.ifi_flags = flags;
  message.ifi_change = change;
  NetlinkRequest request(RTM_NEWLINK, NLM_F_ACK);
  request.header(message);
  return request;
}

// Not every kernel has IPv6, and a container may have turned it off.
void keep_ipv6_addresses_away(NetlinkSocket& netlink, int index) {
  NetlinkRequest request = link_request(index, 0, 0);
  auto families = request.begin_nest(IFLA_AF_SPEC);
  auto v6 = request.begin_nest(AF_INET6);
  request.number<std::uint8_t>(IFLA_INET6_ADDR_GEN_MODE, kNoAddresses);
  request.end_nest(v6);
  request.end_nest(families);
  netlink.ask(request);
}

// net.ipv4.conf.all.rp_filter; what cannot be told counts as set.
std::uint32_t source_check_of_all(NetlinkSocket& netlink) {
  return ipv4_setting(netlink, NETCONFA_IFINDEX_ALL, NETCONFA_RP_FILTER).value_or(kLooseFilter);
}

void set_source_check(NetlinkSocket& netlink, int index, std::uint32_t value) {
  NetlinkRequest request = link_request(index, 0, 0);
  auto families = request.begin_nest(IFLA_AF_SPEC);
  auto v4 = request.begin_nest(AF_INET);
  auto values = request.begin_nest(IFLA_INET_CONF);
  request.number<std::uint32_t>(kRpFilter, value);
  request.end_nest(values);
  request.end_nest(v4);
  request.end_nest(families);
  netlink.ask(request);
}

// Peers' packets come before there is a route back by the tap, so the reverse path filter must not
// ask for one. The kernel takes the larger value of all interfaces' and this one's. On an interface
// without addresses even the loose filter drops (__fib_validate_source(), Linux 6.18); then it gets
// one that leads nowhere and is nobody's source.
void loosen_source_check(NetlinkSocket& netlink, int index) {
  if (source_check_of_all(netlink) == 0) return set_source_check(netlink, index, 0);
  set_source_check(netlink, index, kLooseFilter);
  ifaddrmsg message{};
  message.ifa_family = AF_INET;
  message.ifa_prefixlen = 32;
  message.ifa_scope = RT_SCOPE_LINK;
  message.ifa_index = static_cast<std::uint32_t>(index);
  const Address address = *Address::parse(kLinkLocal);
  NetlinkRequest request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_ACK);
  request.header(message).address(IFA_LOCAL, address).address(IFA_ADDRESS, address);
  must(netlink.ask(request), "RTM_NEWADDR");
}

void bring_up(NetlinkSocket& netlink, int index) {
  // Without ARP: everything that goes there is for the daemon, whatever its Ethernet address.
  constexpr unsigned kFlags = IFF_UP | IFF_NOARP;
  NetlinkRequest request = link_request(index, kFlags, kFlags | IFF_MULTICAST);
  request.number<std::uint32_t>(IFLA_MTU, kMtu).number<std::uint32_t>(IFLA_TXQLEN, kQueue);
  must(netlink.ask(request), "RTM_NEWLINK");
}

NetlinkRequest rule_request(std::uint16_t type, std::uint16_t flags, int family,
                            std::uint16_t port) {
  fib_rule_hdr message{};
  message.family = static_cast<std::uint8_t>(family);
  message.table = RT_TABLE_UNSPEC;  // FRA_TABLE has it
  message.action = FR_ACT_TO_TBL;
  fib_rule_port_range ports{port, port};
  NetlinkRequest request(type, static_cast<std::uint16_t>(flags | NLM_F_ACK));
  request.header(message)
      .number<std::uint32_t>(FRA_TABLE, kTables + port)
      .number<std::uint32_t>(FRA_PRIORITY, kRulePriority)
      .number<std::uint8_t>(FRA_PROTOCOL, kRouteProtocol)
      .number<std::uint8_t>(FRA_IP_PROTO, IPPROTO_UDP)
      .attribute(FRA_DPORT_RANGE, {reinterpret_cast<const std::uint8_t*>(&ports), sizeof ports});
  return request;
}

NetlinkRequest route_request(std::uint16_t type, std::uint16_t flags, const Tap& tap,
                             const Remote& peer) {
  rtmsg message{};
  message.rtm_family = peer.address.is_v4() ? AF_INET : AF_INET6;
  message.rtm_dst_len = peer.address.is_v4() ? 32 : 128;
  message.rtm_table = RT_TABLE_UNSPEC;
  message.rtm_protocol = kRouteProtocol;
  message.rtm_scope = RT_SCOPE_LINK;
  message.rtm_type = RTN_UNICAST;
  NetlinkRequest request(type, static_cast<std::uint16_t>(flags | NLM_F_ACK));
  request.header(message)
      .address(RTA_DST, peer.address)
      .number<std::uint32_t>(RTA_TABLE, kTables + peer.port)
      .number<int>(RTA_OIF, tap.index());
  return request;
}

// The port of a rule of ours; no value for others'.
std::optional<std::uint16_t> own_rule(const NetlinkMessage& message) {
  auto header = message.header<fib_rule_hdr>();
  if (message.type != RTM_NEWRULE || !header) return {};
  std::optional<std::uint32_t> table;
  bool ours = false;
  bool fine =
      walk_attributes(message.attributes(sizeof *header), [&](const NetlinkAttribute& attribute) {
        if (attribute.type == FRA_TABLE) table = attribute.number<std::uint32_t>();
        if (attribute.type == FRA_PROTOCOL) {
          ours = attribute.number<std::uint8_t>() == kRouteProtocol;
        }
      });
  if (!fine || !ours || !table || (*table & 0xffff0000) != kTables) return {};
  return static_cast<std::uint16_t>(*table);
}

}  // namespace

bool enable_segments(int tap) {
  int header = sizeof(abi::TunnelHeader);
  // The header comes first: the kernel takes the offload only with room for what it says.
  return ::ioctl(tap, TUNSETVNETHDRSZ, &header) == 0 &&
         ::ioctl(tap, TUNSETOFFLOAD, kTunnelOffload) == 0;
}

Tap::Tap(UniqueFd device, NetlinkSocket& netlink) : fd_(std::move(device)) {
  struct ifreq request{};
  std::strncpy(request.ifr_name, kNames, sizeof request.ifr_name - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(fd_.get(), TUNSETIFF, &request) != 0) throw_errno("ioctl", "TUNSETIFF");
  name_ = request.ifr_name;
  int on = 1;
  if (::ioctl(fd_.get(), TUNSETVNETLE, &on) != 0) throw_errno("ioctl", "TUNSETVNETLE");
  if (enable_segments(fd_.get())) {
    format_ = {sizeof(abi::TunnelHeader), true};
  } else {
    int short_header = abi::kShortHeaderSize;
    if (::ioctl(fd_.get(), TUNSETVNETHDRSZ, &short_header) != 0 ||
        ::ioctl(fd_.get(), TUNSETOFFLOAD, kPlainOffload) != 0) {
      throw_errno("ioctl", "TUNSETOFFLOAD");
    }
  }
  if (::ioctl(fd_.get(), SIOCGIFHWADDR, &request) != 0) throw_errno("ioctl", "SIOCGIFHWADDR");
  std::memcpy(address_.data(), request.ifr_hwaddr.sa_data, address_.size());

  ifinfomsg message{};
  NetlinkRequest by_name(RTM_GETLINK);
  by_name.header(message).text(IFLA_IFNAME, name_);
  const NetlinkAnswer answer = netlink.ask(by_name);
  must(answer, "RTM_GETLINK");
  auto first = answer.first();
  auto link = first ? first->header<ifinfomsg>() : std::nullopt;
  if (!link) throw ErrnoError(EPROTO, "netlink", "RTM_GETLINK");
  index_ = link->ifi_index;
  keep_ipv6_addresses_away(netlink, index_);
  loosen_source_check(netlink, index_);
  bring_up(netlink, index_);
}

void Tap::gather_segments(bool on) const {
  if (!format_.tunnel_segments) return;
  if (::ioctl(fd_.get(), TUNSETOFFLOAD, on ? kTunnelOffload : kPlainOffload) != 0) {
    throw_errno("ioctl", "TUNSETOFFLOAD");
  }
}

void Tap::restore_mtu(NetlinkSocket& netlink) const {
  ifinfomsg message{};
  message.ifi_index = index_;
  NetlinkRequest by_index(RTM_GETLINK);
  by_index.header(message);
  const NetlinkAnswer answer = netlink.ask(by_index);
  const auto first = answer.first();
  const auto link = first ? first->header<ifinfomsg>() : std::nullopt;
  // One that is down, or gone, leads nobody here.
  if (!link || (link->ifi_flags & IFF_UP) == 0) return;
  std::optional<std::uint32_t> mtu;
  const bool fine =
      walk_attributes(first->attributes(sizeof *link), [&](const NetlinkAttribute& attribute) {
        if (attribute.type == IFLA_MTU) mtu = attribute.number<std::uint32_t>();
      });
  if (fine && mtu && *mtu != kMtu) bring_up(netlink, index_);
}

void add_rule(NetlinkSocket& netlink, std::uint16_t port) {
  for (int family : {AF_INET, AF_INET6}) {
    NetlinkRequest request = rule_request(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, family, port);
    const NetlinkAnswer answer = netlink.ask(request);
    if (answer.complete() || answer.error() == EEXIST) continue;
    if (family == AF_INET6 && (answer.error() == EAFNOSUPPORT || answer.error() == EOPNOTSUPP)) {
      continue;
    }
    must(answer, "RTM_NEWRULE");
  }
}

void add_route(NetlinkSocket& netlink, const Tap& tap, const Remote& peer) {
  NetlinkRequest request = route_request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, tap, peer);
  must(netlink.ask(request), "RTM_NEWROUTE");
}

void remove_route(NetlinkSocket& netlink, const Tap& tap, const Remote& peer) {
  NetlinkRequest request = route_request(RTM_DELROUTE, 0, tap, peer);
  const NetlinkAnswer answer = netlink.ask(request);
  if (answer.error() != ESRCH && answer.error() != ENODEV) must(answer, "RTM_DELROUTE");
}

void remove_rules(NetlinkSocket& netlink) {
  for (int family : {AF_INET, AF_INET6}) {
    fib_rule_hdr message{};
    message.family = static_cast<std::uint8_t>(family);
    NetlinkRequest dump(RTM_GETRULE, NLM_F_DUMP);
    dump.header(message);
    const NetlinkAnswer answer = netlink.ask(dump);
    std::vector<std::uint16_t> ports;
    NetlinkMessages walk = answer.messages();
    for (NetlinkMessage rule; walk.next(rule);) {
      if (auto port = own_rule(rule)) ports.push_back(*port);
    }
    for (std::uint16_t port : ports) {
      NetlinkRequest request = rule_request(RTM_DELRULE, 0, family, port);
      netlink.ask(request);
    }
  }
}

}  // namespace sockswitch::tunnel
