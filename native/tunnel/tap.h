// The tap in a container's network namespace, and the rule and routes that lead to it.
//
//   rule    priority 30000: UDP to port P looks into table kTables + P
//   route   in that table, one for each proved peer: its address, by the tap
//
// The kernel takes the tap away when its last descriptor is closed, and with the tap all routes, so
// when the daemon dies the fallback network is used at once. What stays is a rule that leads to an
// empty table. Rules and routes carry a protocol number of their own (`ip rule`, `ip route` show
// it), by which the next daemon, or `sockswitch uninstall`, finds and removes them.
//
// Everything goes over a netlink socket that was made in the namespace: its owner may use it from
// outside (netlink_net_capable() in the kernel asks for the sender's right in that namespace).
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/unique_fd.h"
#include "kernel/netlink_message.h"
#include "tunnel/discovery.h"
#include "tunnel/frame.h"

namespace sockswitch::tunnel {

inline constexpr std::uint32_t kTables = 0x73770000;  // "sw"; the port is the rest
inline constexpr std::uint8_t kRouteProtocol = 0x73;  // linux/rtnetlink.h: free for user space
inline constexpr std::uint32_t kRulePriority = 30000;

// Has the kernel hand over one packet in the place of many, with the long header; false where it
// cannot (before Linux 6.17). `tap` is an interface's descriptor.
bool enable_segments(int tap);

class Tap {
 public:
  // Makes the interface, up, of the largest MTU that there is. `device` is
  // /dev/net/tun as opened in the namespace. Throws ErrnoError.
  Tap(UniqueFd device, NetlinkSocket& netlink);

  int fd() const { return fd_.get(); }
  int index() const { return index_; }
  const std::string& name() const { return name_; }
  const std::array<std::uint8_t, 6>& address() const { return address_; }
  // What frames look like in both directions.
  const TapFormat& format() const { return format_; }
  // Whether the kernel may hand over one packet in the place of many; false from the beginning
  // where it cannot. What is on its way already is not changed.
  void gather_segments(bool on) const;
  // Gives the interface its MTU again, where the container has taken it: with a smaller one the
  // tunnel's packets would come in fragments, which nobody carries. Throws ErrnoError.
  void restore_mtu(NetlinkSocket& netlink) const;

 private:
  UniqueFd fd_;
  std::string name_;
  int index_ = 0;
  std::array<std::uint8_t, 6> address_{};
  TapFormat format_;
};

// All throw ErrnoError.
void add_rule(NetlinkSocket& netlink, std::uint16_t port);
// A route for one peer; replaces what is there.
void add_route(NetlinkSocket& netlink, const Tap& tap, const Remote& peer);
void remove_route(NetlinkSocket& netlink, const Tap& tap, const Remote& peer);
// Removes the rules that carry our protocol number, whoever made them. Never throws.
void remove_rules(NetlinkSocket& netlink);

}  // namespace sockswitch::tunnel
