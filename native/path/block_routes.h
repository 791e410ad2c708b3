// What routing tables say about a whole block of addresses. Pure.
#pragma once

#include <functional>
#include <string>

#include "base/ipv4_block.h"
#include "path/routing.h"

namespace sockswitch {

// Whether TCP meets an entry where there are no routing rules but the initial ones.
bool is_met(const FoundRoute& route);

// What in the tables may lead packets to some of the addresses in question, of one family,
// elsewhere than by the default route, or by device `on_link`, which has them on-link; empty:
// nothing. Of several default routes of IPv6 the kernel may take any: it looks whether the gateways
// answer. `concerns`: whether a prefix (an address and its length, counted in the family) has such
// an address.
using Concerns = std::function<bool(const Address& network, unsigned length)>;
std::string led_elsewhere(const RoutingTables& tables, bool v4, const Concerns& concerns,
                          int on_link);

// The same for all addresses of a block of IPv4, the namespace's own ones included, nothing of it
// on-link.
std::string led_elsewhere(const RoutingTables& tables, const Ipv4Block& block);

// By which device a namespace sends all packets to a block that it sends itself.
struct BlockRoute {
  int device = 0;
  std::string obstacle;  // why there is no such device; empty: there is
};
BlockRoute route_of_block(const RoutingTables& tables, const Ipv4Block& block);

// A part of the block that is on-link, or a default gateway in it, in words; empty: there is none.
std::string near_part(const RoutingTables& tables, const Ipv4Block& block);

}  // namespace sockswitch
