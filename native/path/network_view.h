// Where a destination leads, asked of one container network namespace: all listeners in that
// namespace share it (a pod's containers, `podman exec`).
//
// It follows the way of the container's own packet (path/way.h) and remembers where it ended, by
// destination, and by the socket's user and the port where a routing rule looks at these. What is
// remembered is dropped as a whole when the kernel reports any change in the container's namespace,
// in the one of Podman's bridges, or on the host. So a connect that has been seen before asks the
// kernel nothing, and none is judged by a network that is no more.
//
// The same way can be right for one container of a namespace and wrong for another: what a
// container is permitted, and what it waives, comes with each question.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/outcome.h"
#include "kernel/control_thread.h"
#include "kernel/netns.h"
#include "kernel/watcher.h"
#include "path/host_network.h"
#include "path/namespace.h"
#include "path/surroundings.h"
#include "path/way.h"

namespace sockswitch {

struct RouteDecision {
  Outcome outcome = Outcome::kNoRoute;
  int device = 0;                 // ifindex on the host to leave by, where outcome is kSwitched
  std::optional<Address> source;  // that a host socket is to be bound to
  // The container's packets of the other family do not get out: a socket that could carry them,
  // too, must not.
  bool one_family = false;
};

// What one container is to the network that it shares, perhaps, with others.
struct Permissions {
  // May it change routes and rules itself (CAP_NET_ADMIN)? If not, those that restrict it are
  // Podman's or another container's, and it is to have no socket that could go past them.
  bool network_admin = false;
  // Are packet filters of its own namespace waived (annotation sockswitch/firewall=ignore)?
  bool ignores_firewall = false;
};

class NetworkView {
 public:
  // To be made by a thread that has the process's common descriptor table, and dropped there
  // (NetworkViews sees to it). Throws ErrnoError.
  NetworkView(Netns netns, std::string helper, HostNetwork& host, Surroundings& around,
              Watcher& watcher, ControlThread& control);
  NetworkView(const NetworkView&) = delete;
  NetworkView& operator=(const NetworkView&) = delete;

  NetnsIdentity identity() const { return inside_.identity(); }
  std::uint64_t cookie() const { return inside_.cookie(); }
  // Another one as soon as anything that a way depends on has changed inside.
  std::uint64_t generation() const { return inside_.generation(); }
  // For what follows packets of other namespaces through this one; on the control thread.
  Namespace& inside() { return inside_; }
  // `socket`: the caller's, in the calling thread's table; -1 where there is none.
  RouteDecision decide(const Destination& to, int socket, const Permissions& permissions);
  // The same, not from the memory, and the way in words.
  RouteDecision explain(const Destination& to, const Permissions& permissions, std::string& detail);
  // Whether all of a block goes that way: follow_block().
  BlockWay decide_block(const Ipv4Block& block);
  // Whether a container may be given sockets of the host at all, which a service's are, too; `why`,
  // where given, says why not.
  bool may_switch(const Permissions& permissions, std::string* why = nullptr);
  // Counts what the kernel has reported of the namespace by now, although the watcher has not come
  // to it: the kernel reports a change before the call that made it returns. So a container that
  // may change its own network is not judged by what it has just changed. One system call, where
  // there is nothing to count. `reports`: of reports(), in the calling thread's table.
  void count_reports(int reports);
  UniqueFd reports() const;
  // Somebody is about to change legacy packet filters of the namespace, which the kernel does not
  // report: for some seconds count_reports() takes each moment for such a change. Any thread.
  void expect_silent_change();
  // Whether an address is one of the container's own.
  bool is_own(const Address& address);
  // Its own address towards destinations outside; no value where it has no way there.
  std::optional<Address> address_outwards(bool v4);
  // Whether a destination is on one of its links, behind no gateway.
  bool is_on_link(const Address& destination);
  // The cluster's service addresses that kube-proxy's rules or device in it name, as
  // of now.
  std::vector<Address> service_addresses();
  // Whether there is any device but the loopback (none: `--network=none`). Also where that cannot
  // be told. On the control thread.
  bool is_connected_here() { return inside_.connected().value_or(true); }
  // A new socket in this namespace, in the calling thread's table. Throws ErrnoError.
  UniqueFd open_socket(int domain, int type, int protocol, const std::string& label = {}) const;
  // A maker of sockets in this namespace, for threads with the common table. Throws ErrnoError.
  std::unique_ptr<SocketSource> start_source() const;
  // A fresh TCP socket of this namespace to compare options with; -1 if the domain is not to be
  // had. In the common table.
  int fresh_socket(int domain) const { return inside_.fresh_socket(domain); }

 private:
  struct Key {
    Address address;
    std::uint16_t port = 0;
    uid_t uid = 0;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const;
  };
  // What holds for the whole namespace, in one state of the network.
  struct Standing {
    std::uint64_t inside = 0;  // generations of that state
    std::uint64_t around = 0;
    std::uint64_t host = 0;
    bool settled = false;
    bool by_uid = false;  // what rules look at
    bool by_port = false;
    Way v4;  // of a packet to nowhere in particular
    Way v6;
    std::string words;  // where neither leads out: why
    std::string restriction;
    std::chrono::steady_clock::time_point looked;  // for silent changes
  };

  Ground ground() { return {inside_, around_, host_}; }
  void stand();
  RoutedPacket packet(const Destination& to, int socket) const;
  RouteDecision permitted(const Way& way, bool v4, const Permissions& permissions,
                          std::string* why) const;
  bool gets_out(const Way& way, const Permissions& permissions) const;

  std::string helper_;
  HostNetwork& host_;
  Surroundings& around_;
  ControlThread& control_;
  Namespace inside_;
  std::atomic<std::chrono::steady_clock::time_point> silent_until_;

  std::mutex mutex_;
  Standing standing_;
  std::unordered_map<Key, Way, KeyHash> ways_;
  std::map<Ipv4Block, BlockWay> blocks_;
};

// The views in use, by namespace.
class NetworkViews {
 public:
  NetworkViews(std::string helper, HostNetwork& host, Watcher& watcher, ControlThread& control)
      : helper_(std::move(helper)),
        host_(host),
        watcher_(watcher),
        control_(control),
        around_(helper_, watcher) {}
  // The view of a network namespace. On the control thread. Throws ErrnoError.
  std::shared_ptr<NetworkView> of(Netns netns);
  Watcher& watcher() { return watcher_; }
  ControlThread& control() { return control_; }
  const std::string& helper() const { return helper_; }
  // The namespace of this identity, if a fallback program holds a tap in it.
  std::optional<Netns> held(const NetnsIdentity& identity) { return around_.held(identity); }

 private:
  std::string helper_;
  HostNetwork& host_;
  Watcher& watcher_;
  ControlThread& control_;
  Surroundings around_;
  std::mutex mutex_;
  std::map<NetnsIdentity, std::weak_ptr<NetworkView>> views_;
};

}  // namespace sockswitch
