// The relay: takes connections to published ports that the kernel does not bring to the service by
// itself, and passes them on. One thread for all of them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "publish/neighbours.h"
#include "publish/pins.h"
#include "publish/tcp_port.h"
#include "publish/udp_port.h"

namespace sockswitch {

class Relay {
 public:
  // Callers reach the relay's thread by `control`, since they may have a descriptor table of their
  // own. `names` lives longer. `pin_kept`: as Pins::Calls::kept. Throws ErrnoError.
  Relay(ControlThread& control, const PeerNames& names, HostNetwork& network, RepinPaths repin,
        std::function<void(const std::string&)> pin_kept);
  // Closes the reservations; those that are kept elsewhere stay as they are.
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // All of these wait until it is done, may throw ErrnoError, and do nothing for a port that is not
  // known (any more).

  // `reservation` may listen already: it then comes from an earlier daemon.
  void add(const std::shared_ptr<Publication>& publication, UniqueFd reservation);
  void remove(std::uint64_t id);
  // The container's network is known: what an earlier daemon did goes on, and datagrams flow.
  void attach(std::uint64_t id, const std::shared_ptr<NetworkView>& view);
  // The service listens, on a socket of the host or on one of its own.
  void serve_direct(std::uint64_t id, const Service& service);
  void serve_inside(std::uint64_t id, const Service& service);
  // See TcpPort::share.
  void share(std::uint64_t id, bool on);

  // Ways to its ports that do not pass it.
  Neighbours& neighbours() { return neighbours_; }

 private:
  void run(const std::function<void()>& work);
  void moved(std::uint64_t id);

  ControlThread& control_;
  Neighbours neighbours_;
  std::map<std::uint64_t, std::unique_ptr<TcpPort>> tcp_;
  std::map<std::uint64_t, std::unique_ptr<UdpPort>> udp_;
  Pins pins_;
  Reactor reactor_;
  RelayShared shared_;
};

// While it lives, a socket can be bound to a reserved port, or begin to listen on it.
class Sharing {
 public:
  Sharing(Relay& relay, std::uint64_t id) : relay_(relay), id_(id) { relay_.share(id_, true); }
  ~Sharing() { relay_.share(id_, false); }
  Sharing(const Sharing&) = delete;
  Sharing& operator=(const Sharing&) = delete;

 private:
  Relay& relay_;
  std::uint64_t id_;
};

}  // namespace sockswitch
