// Route questions to one network namespace, over a NETLINK_ROUTE socket that lives in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernel/netlink_message.h"
#include "kernel/unique_fd.h"
#include "policy/address.h"

namespace sockswitch {

struct Route {
  std::uint8_t type = 0;  // RTN_UNICAST, RTN_LOCAL, ... (linux/rtnetlink.h)
  int device = 0;         // ifindex of the first next hop
  bool has_gateway = false;
  Address gateway;
  std::string prefix;  // "10.0.0.0/8"; only in the answer to `matched_prefix`
};

// What the kernel's answer to one route question holds; exposed for the unit tests and the fuzzer.
// `data` is a netlink datagram: nlmsghdr and what follows. No value if it holds no route.
std::optional<Route> parse_route(const void* data, std::size_t size);

class RouteSocket {
 public:
  // Takes a bound or unbound NETLINK_ROUTE socket of the namespace to ask.
  explicit RouteSocket(UniqueFd fd) : socket_(std::move(fd)) {}

  // The route that a packet to `destination` would take; no value if there is none.
  std::optional<Route> lookup(const Address& destination) { return ask(destination, false); }
  // The same, but the matching entry of the routing table itself, with its prefix (Linux 4.16).
  std::optional<Route> matched_prefix(const Address& destination) { return ask(destination, true); }
  // All default routes, IPv4 and IPv6; none where the kernel's answer is beyond a NetlinkSocket's
  // limits.
  std::vector<Route> default_routes();

 private:
  std::optional<Route> ask(const Address& destination, bool matched_entry);
  NetlinkSocket socket_;
};

// A NETLINK_ROUTE socket in the calling thread's namespace. Throws ErrnoError.
UniqueFd open_route_socket();
// One that is told of every change of routes, rules, links and addresses. Non-blocking.
UniqueFd open_route_monitor();
// Reads and drops what is waiting on a monitor; not all of it if that is much.
void drain_monitor(int fd);

}  // namespace sockswitch
