// Questions to the routing of one network namespace, for one packet, and what its rules look at.
//
// The kernel answers for the packet that is described: RTM_GETROUTE goes through the same rules and
// tables as the packet itself (rtnetlink(7); RTA_IP_PROTO and RTA_DPORT since Linux 4.17, RTA_UID
// since 4.10, RTM_F_FIB_MATCH since 4.13). What cannot be described to it, because it is not known
// before the packet is there (a source port) or because we do not know its meaning (an attribute of
// a later kernel), is reported in words, and nobody who follows a packet goes past it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "kernel/netlink_message.h"

namespace sockswitch {

// The first packet of a TCP connection, as routing sees it.
struct RoutedPacket {
  Address destination;
  std::uint16_t port = 0;  // 0: not said, which only explanations do
  std::optional<Address>
      source;                // none: the kernel is to choose, as for a socket that is not bound
  std::optional<uid_t> uid;  // of the socket, in our user namespace; none: not asked for
  int in_device = 0;         // arrived by this device, to be forwarded; 0: sent from here
};

struct FoundRoute {
  std::uint8_t type = 0;  // RTN_UNICAST, RTN_LOCAL, ... (linux/rtnetlink.h)
  std::uint8_t tos = 0;   // of a routing table's entry
  int device = 0;         // ifindex
  std::uint32_t priority = 0;
  std::uint32_t table = 0;
  std::optional<Address> gateway;
  std::optional<Address> source;  // what the kernel would choose
  Address network;                // of the table's entry
  unsigned prefix_length = 0;     // of the table's entry, counted in its family
  unsigned source_length = 0;     // of an entry that a table's dump has: for which sources it is
  bool v4 = false;
  // What the route has that we do not follow, in words: "several next hops". Empty: nothing.
  std::string strange;

  std::string prefix_text() const;
};

// What the answer to one route question holds. No value if it is no route; exposed for tests and
// the fuzzer.
std::optional<FoundRoute> parse_route(const NetlinkMessage& message);

// All default routes, IPv4 and IPv6; of one with several next hops the first. None where the
// kernel's answer is beyond a NetlinkSocket's limits.
std::vector<FoundRoute> default_routes(NetlinkSocket& socket);

// The way that the packet takes; no value if there is none, or none that is known.
std::optional<FoundRoute> route_of(NetlinkSocket& socket, const RoutedPacket& packet);
// The same question, answered with the routing table's entry: `network`, `strange`, `tos`.
std::optional<FoundRoute> entry_of(NetlinkSocket& socket, const RoutedPacket& packet);

// What the rules of one family look at, besides the destination (which the kernel is always told).
// Rules of other protocols than TCP (a tunnel's, for UDP: tunnel/tap.h) are left out: no packet
// that is followed meets them.
struct RuleSelectors {
  bool uid = false;
  bool port = false;
  bool source = false;
  bool plain = true;  // the three rules that each namespace begins with, and no other
  // A rule that looks at something which cannot be told beforehand: "rule 100: source port". Empty:
  // none.
  std::string unknown;
};

// Adds what one rule (RTM_NEWRULE) looks at, if TCP can meet it; false if it is no rule.
bool add_rule(const NetlinkMessage& message, RuleSelectors& selectors);

// All rules and routes of a namespace, as of one moment.
struct RoutingTables {
  RuleSelectors v4;
  RuleSelectors v6;
  std::vector<FoundRoute> routes;  // unicast ones and refusals
  std::vector<FoundRoute> own;     // what the namespace has itself: local, broadcast, anycast
  std::string unknown;             // why this is not all; empty: it is

  const RuleSelectors& rules(bool ipv4) const { return ipv4 ? v4 : v6; }
};
RoutingTables read_tables(NetlinkSocket& socket);

}  // namespace sockswitch
