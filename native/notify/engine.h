// The data plane as a whole: all listeners, and what they share.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernel/watcher.h"
#include "notify/listener.h"
#include "publish/relay.h"
#include "tunnel/tunnels.h"

namespace sockswitch {

class Engine {
 public:
  // `helper` is the path of sockswitch-netns, `repin` where sockswitch-repin is. `sink` is called
  // on a thread of its own. Throws ErrnoError.
  Engine(std::string helper, GuardSource guard, PeerNames names, RepinPaths repin,
         Listener::Sink sink);
  // After stop() has said that all have ended.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Starts a listener; its number is never used again. Throws ErrnoError.
  // `record`: the listener's (kernel/listener_record.h).
  // `netns`: as in Listener.
  std::uint64_t attach(UniqueFd fd, UniqueFd record, pid_t pid,
                       const std::optional<NetnsIdentity>& netns, const std::string& container,
                       Policy policy);
  void set_policy(std::uint64_t listener, Policy policy);
  const OutcomeCounters& counters(std::uint64_t listener) const;
  const LatencyHistogram& latency(std::uint64_t listener) const;
  // Nested network namespaces that its container's connects came from (NestedNetworks::count).
  std::size_t nested_networks(std::uint64_t listener) const;
  // The notification descriptor and the record, borrowed: for a keeper that has to be given them.
  struct Descriptors {
    int fd;
    int record;
  };
  Descriptors descriptors(std::uint64_t listener) const;
  // Reserves a port of the host. The descriptor stays the engine's. Throws ErrnoError.
  struct Reservation {
    std::uint64_t number;
    int fd;
  };
  Reservation reserve(const Mapping& mapping);
  // A reservation that an earlier daemon made.
  Reservation adopt(const Mapping& mapping, UniqueFd fd);
  void release(std::uint64_t reservation);
  // Datagrams of a UDP reservation that were lost (Publication::lost); 0 for any other.
  std::uint64_t lost_datagrams(std::uint64_t reservation) const;
  // Those of these numbers that exist, for a policy.
  std::vector<std::shared_ptr<Publication>> published(
      const std::vector<std::uint64_t>& reservations) const;
  // What would happen now to a connect of a TCP or UDP socket (IPPROTO_TCP, IPPROTO_UDP) to `to`,
  // in words; `device` gets the egress device's name.
  // `pod`: a process of the pod that connects; 0: the container itself does.
  RouteDecision explain(std::uint64_t listener, int protocol, const Destination& to, pid_t pod,
                        std::string& detail, std::string& device) const;
  // Why nothing is switched in a listener's container, in words; empty: nothing stands against it,
  // or its network is not known yet.
  std::string obstacle(std::uint64_t listener) const;
  // One of the private service addresses that kube-proxy's rules in a listener's container name and
  // no list holds, so that only the rules keep connections to it in the container; empty: none.
  std::string unlisted_service(std::uint64_t listener) const;
  // Whether the network namespace at a path has any device except the loopback. Throws ErrnoError.
  bool is_connected(const std::string& netns);
  // Looks for tunnel devices in the listener's network namespace from now on (tunnel/tunnels.h).
  // `pid`: a process in it. Returns at once.
  void watch_tunnels(std::uint64_t listener, pid_t pid);
  tunnel::Tunnels& tunnels() { return *tunnels_; }
  void forget(std::uint64_t listener);
  // Ends all listeners. False if some have not ended within a moment: their threads wait in the
  // kernel for their containers, and may come back, so that this object must be left as it is, for
  // the end of the process. What the keeper holds of them is another daemon's to serve.
  [[nodiscard]] bool stop();
  bool guards_sockets() const { return guard_.available(); }
  const PeerNames& names() const { return names_; }

 private:
  struct Entry {
    std::unique_ptr<Listener> listener;
    std::uint64_t watch = 0;
  };
  // Throws std::out_of_range naming the number.
  const Listener& listener(std::uint64_t number) const;
  RouteDecision explain_pod(const Destination& to, pid_t pod, const Policy& policy, Pods& pods,
                            std::string& detail) const;
  RouteDecision explain_neighbour(const Destination& to, NetworkView& from,
                                  const Permissions& permissions, std::string& detail) const;
  std::shared_ptr<ContainerState> container(const std::string& key);
  void bury(Entry entry);
  void reap();

  std::string helper_;
  Listener::Sink sink_;
  Watcher watcher_;
  ControlThread control_;
  HostNetwork network_;
  NetworkViews views_;
  OptionBaselines fresh_;
  const PeerNames names_;
  mutable Relay relay_;  // `explain` may have it try a way
  GuardSource guard_;
  OptionMarks marks_;
  Host host_;
  // A listener's policy as its tunnels see it.
  struct TunnelPolicy {
    std::mutex mutex;
    std::shared_ptr<const Policy> policy;
  };
  tunnel::Surroundings surroundings(const std::shared_ptr<NetworkView>& view,
                                    const std::shared_ptr<TunnelPolicy>& policy);
  void report_tunnel(const tunnel::Event& event) const;
  void report_pin(const std::string& detail) const;

  // Control calls come from one thread; the lock is for `explain` and `counters` from elsewhere.
  mutable std::mutex mutex_;
  std::map<std::string, std::weak_ptr<ContainerState>> containers_;
  std::map<std::uint64_t, Entry> listeners_;
  std::uint64_t next_ = 1;
  std::map<std::uint64_t, std::shared_ptr<Publication>> publications_;
  std::uint64_t next_publication_ = 1;
  // Listeners that are ending. A container can keep its listener's thread busy or waiting (memory
  // or files of a FUSE server that does not answer), which must not stop whoever forgets it.
  std::vector<std::unique_ptr<Listener>> ending_;
  std::map<std::uint64_t, std::shared_ptr<TunnelPolicy>> tunnel_policies_;
  std::unique_ptr<tunnel::Tunnels> tunnels_;
};

}  // namespace sockswitch
