// One network namespace that packets of containers go through, and what the kernel tells about it:
// a container's own, or the one that the bridges of a rootless user share.
//
// Facts are asked over sockets that were made inside (programs/netns.cc, verb "view"). Tables that
// are read whole (routes and rules) are kept until the kernel reports any change of them;
// `generation` is another one from then on. Everything here belongs to the process's common
// descriptor table and is used on the control thread only, except where it says otherwise.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "kernel/device_addresses.h"
#include "kernel/netlink_message.h"
#include "kernel/netns.h"
#include "kernel/watcher.h"
#include "path/firewall.h"
#include "path/ipvs_device.h"
#include "path/link.h"
#include "path/routing.h"

namespace sockswitch {

class Namespace {
 public:
  // `changes`, where given, is counted up with each change, too. Throws ErrnoError.
  Namespace(Netns netns, const std::string& helper, Watcher& watcher,
            std::atomic<std::uint64_t>* changes = nullptr);
  ~Namespace();
  Namespace(const Namespace&) = delete;
  Namespace& operator=(const Namespace&) = delete;

  const Netns& netns() const { return netns_; }
  NetnsIdentity identity() const { return netns_.identity(); }
  // SO_NETNS_COOKIE. Any thread.
  std::uint64_t cookie() const { return cookie_; }
  // Another number after each change of routes, rules, links, addresses, neighbour entries that
  // were set, and packet filters. Any thread.
  std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  // A fresh TCP socket of this namespace; -1 where the family is not to be had.
  int fresh_socket(int domain) const;

  // The way of a packet that this namespace sends or forwards; nothing where it has none.
  std::optional<FoundRoute> route(const RoutedPacket& packet) { return route_of(routes_, packet); }
  std::optional<FoundRoute> entry(const RoutedPacket& packet) { return entry_of(routes_, packet); }
  // As of the present generation.
  const RoutingTables& tables();
  const Firewall& firewall();
  // Counts what the kernel has reported by now, and does not wait for the watcher to get to it: the
  // kernel reports a change before the call that made it returns.
  void look_for_reported_changes();
  // To be polled for POLLIN: whether there are reports that nobody has taken yet.
  int reports() const { return reports_.get(); }
  // Waits until what somebody has taken is counted. Any thread.
  void finish_counting() { const std::lock_guard lock(taking_); }
  // Whether packet filters may have changed that report no changes (legacy tables): counts as a
  // change, then.
  void look_for_silent_changes();
  std::optional<Link> link(int index) { return link_of(routes_, index); }
  std::optional<bool> connected() { return has_links(routes_); }
  std::optional<bool> owns(int device, const Address& address) {
    return owns_address(routes_, device, address);
  }
  // Whether a device's neighbour entry for an address was set by somebody.
  std::optional<bool> has_fixed_neighbour(int device, const Address& address) {
    return sockswitch::has_fixed_neighbour(routes_, device, address);
  }
  std::optional<bool> answers_for_others(int device) {
    return sockswitch::answers_for_others(routes_, device);
  }
  std::optional<bool> forwards_ipv6() { return sockswitch::forwards_ipv6(routes_); }
  std::vector<Address> ipvs_service_addresses() {
    return sockswitch::ipvs_service_addresses(routes_);
  }
  // The number by which this namespace knows `other`.
  std::optional<int> number(const Namespace& other) {
    return number_of(routes_, other.netns().fd());
  }

 private:
  void watch(int fd, bool routes);
  void take_reports(int fd, bool routes);
  void changed();

  Netns netns_;
  Watcher& watcher_;
  NetlinkSocket routes_;
  UniqueFd fresh_v4_;
  UniqueFd fresh_v6_;
  std::vector<UniqueFd> monitors_;
  UniqueFd reports_;   // an epoll set of them
  std::mutex taking_;  // reports: what was taken is counted when it is free again
  FirewallSockets filters_;
  std::vector<std::uint64_t> watches_;
  std::uint64_t cookie_ = 0;
  std::atomic<std::uint64_t>* changes_;
  std::atomic<std::uint64_t> generation_{1};
  std::uint64_t tables_generation_ = 0;
  RoutingTables tables_;
  std::uint64_t firewall_generation_ = 0;
  Firewall firewall_;
};

}  // namespace sockswitch
