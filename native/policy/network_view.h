// Where a destination leads: asked of the routing tables of a container and of the host.
//
// A NetworkView is one container network namespace as the host sees it; all listeners in that
// namespace share it (a pod's containers, `podman exec`). It answers, for one destination, whether
// it would leave by the container's uplink and by which device it leaves the host. Answers are
// cached and dropped as a whole when the kernel reports any change of routes, rules, links or
// addresses in either namespace.
//
// The uplink is what held the default route when the namespace was first looked at (for
// slirp4netns, which comes up after the container's process, when one was first there). A VPN that
// the container starts later is therefore no uplink, and what it routes stays in it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernel/control_thread.h"
#include "kernel/netlink.h"
#include "kernel/netns.h"
#include "kernel/watcher.h"
#include "policy/address.h"
#include "policy/outcome.h"

namespace sockswitch {

// The host's own network namespace: the one that this process runs in. Its questions are asked in
// the process's common descriptor table.
class HostNetwork {
 public:
  explicit HostNetwork(Watcher& watcher);
  ~HostNetwork();
  HostNetwork(const HostNetwork&) = delete;
  HostNetwork& operator=(const HostNetwork&) = delete;

  std::uint64_t cookie() const { return cookie_; }
  std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  std::optional<Route> lookup(const Address& destination);
  std::optional<Route> matched_prefix(const Address& destination);

 private:
  Watcher& watcher_;
  RouteSocket routes_;
  UniqueFd monitor_;
  std::uint64_t watch_ = 0;
  std::uint64_t cookie_ = 0;
  std::atomic<std::uint64_t> generation_{1};
  std::mutex mutex_;
};

struct RouteDecision {
  Outcome outcome = Outcome::kNoRoute;
  int device = 0;  // ifindex on the host to leave by, where outcome is kSwitched
};

class NetworkView {
 public:
  // To be made, and to be dropped, by a thread that has the process's common descriptor table.
  NetworkView(Netns netns, std::string helper, HostNetwork& host, Watcher& watcher,
              ControlThread& control);
  ~NetworkView();
  NetworkView(const NetworkView&) = delete;
  NetworkView& operator=(const NetworkView&) = delete;

  std::uint64_t cookie() const { return cookie_; }
  // Another one as soon as routes, rules, links or addresses have changed in it.
  std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  // Whether a destination is on one of its links, behind no gateway.
  bool is_on_link(const Address& destination);
  RouteDecision decide(const Address& destination);
  // The same, not from the cache, with the routes in words.
  RouteDecision explain(const Address& destination, std::string& detail);
  // A new socket in this namespace, in the calling thread's table. Throws ErrnoError.
  UniqueFd open_socket(int domain, int type, int protocol) const;
  // A maker of sockets in this namespace, for threads with the common table. Throws ErrnoError.
  std::unique_ptr<SocketSource> start_source() const { return netns_.start_source(helper_); }
  // A fresh TCP socket of this namespace to compare options with; -1 if the domain is not to be
  // had.
  int fresh_socket(int domain) const;

 private:
  RouteDecision resolve(const Address& destination, std::string* detail);
  void look_for_uplinks();

  Netns netns_;
  std::string helper_;
  HostNetwork& host_;
  Watcher& watcher_;
  ControlThread& control_;
  std::vector<UniqueFd> sockets_;  // route socket (moved out), monitor, fresh IPv4, fresh IPv6
  RouteSocket routes_;
  std::uint64_t watch_ = 0;
  std::uint64_t cookie_ = 0;
  std::atomic<std::uint64_t> generation_{1};

  std::mutex mutex_;
  std::vector<Route> uplinks_;                       // the default routes at first sight
  std::chrono::steady_clock::time_point next_look_;  // for uplinks
  std::uint64_t cached_generation_ = 0;
  std::uint64_t cached_host_generation_ = 0;
  std::unordered_map<Address, RouteDecision, AddressHash> cache_;
};

// The views in use, by namespace.
class NetworkViews {
 public:
  NetworkViews(std::string helper, HostNetwork& host, Watcher& watcher, ControlThread& control)
      : helper_(std::move(helper)), host_(host), watcher_(watcher), control_(control) {}
  // The view of the network namespace that process `pid` is in. In the common table, as above.
  // Throws ErrnoError.
  std::shared_ptr<NetworkView> of_process(pid_t pid);

 private:
  std::string helper_;
  HostNetwork& host_;
  Watcher& watcher_;
  ControlThread& control_;
  std::mutex mutex_;
  std::map<NetnsIdentity, std::weak_ptr<NetworkView>> views_;
};

}  // namespace sockswitch
