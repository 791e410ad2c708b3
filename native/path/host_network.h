// The host's own network namespace: the one that this process runs in.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>

#include "kernel/netlink_message.h"
#include "kernel/watcher.h"
#include "path/routing.h"

namespace sockswitch {

// Its questions are asked in the process's common descriptor table.
class HostNetwork {
 public:
  explicit HostNetwork(Watcher& watcher);
  ~HostNetwork();
  HostNetwork(const HostNetwork&) = delete;
  HostNetwork& operator=(const HostNetwork&) = delete;

  // `changed` is called on the watcher's thread after each change of these: the last one given; it
  // is to return at once. After this returns, no other one runs or will.
  void on_change(std::function<void()> changed);

  std::uint64_t cookie() const { return cookie_; }
  // Another number after each change of routes, rules, links and addresses. Any thread.
  std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  std::optional<FoundRoute> route(const RoutedPacket& packet);
  // The matching entry of the routing table.
  std::optional<FoundRoute> entry(const RoutedPacket& packet);
  RoutingTables tables();
  // Whether an address is a default gateway of the host, or on one of its links.
  bool is_near(const Address& address);
  // Whether an address is one of the host's own.
  bool is_own(const Address& address);

 private:
  Watcher& watcher_;
  NetlinkSocket routes_;
  UniqueFd monitor_;
  std::uint64_t watch_ = 0;
  std::uint64_t cookie_ = 0;
  std::atomic<std::uint64_t> generation_{1};
  std::mutex mutex_;
  std::mutex changed_mutex_;
  std::function<void()> changed_;
};

}  // namespace sockswitch
