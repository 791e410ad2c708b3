// Keeps the services' sockets on the device that the host's network uses.
//
// A service's socket is pinned to a device when it is made (publish/reservation.h). The host's
// network may move: the device becomes a port of a bridge, or part of a bond, the address goes to a
// VLAN on it, the default route to another device, the device is taken down, or away and made
// anew. Then the socket is pinned to the device that one which is made now would get. Where there
// is none, and its own is down or without an address, to any other that is up and has one: then
// the relay reaches it, and with it every client that is not on the device. Only sockets that are
// guarded: others could be turned against the host's addresses there (docs/threat-model.md,
// "Without the socket guard").
//
// The last resort is the loopback device. There clients of the host would be connected to the
// service past the relay, with an address that services trust. So it is for sockets only whose
// guard takes no loopback client except the relay's (GuardKind::kServiceAnywhere), and the relay
// brings nobody there but clients of the container itself (TcpPort::connect_home()). Of sockets
// that an earlier daemon made nobody knows the guard: they are not moved there.
//
// Neither the relay nor the daemon holds a service's socket, since a duplicate would go on
// listening when the service has closed its own. So it is looked for when it is to be moved: the
// kernel lists what listens on the port, by inode, and /proc the container's processes that have a
// descriptor of it. One of these is duplicated (pidfd_getfd(2)), handed to sockswitch-repin, and
// closed.
//
// It all happens on the control thread, after each change of the host's network and when a service
// begins to listen, once for all that came meanwhile: what counts is the state that is found. A
// container has a share of time of its own in a search. What fails is tried again some times, then
// at the next change. Connections that are accepted already stay as they are.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernel/control_thread.h"
#include "path/host_network.h"
#include "path/namespace.h"
#include "policy/publication.h"
#include "publish/repinner.h"
#include "publish/reservation.h"

namespace sockswitch {

class Pins {
 public:
  struct Calls {
    // On the control thread: the sockets of this publication have another device.
    std::function<void(std::uint64_t publication)> moved;
    // On the control thread: a socket had to be moved and was not, and why, in words. Once for each
    // reason, until one is moved.
    std::function<void(const std::string& detail)> kept;
  };
  Pins(ControlThread& control, HostNetwork& network, RepinPaths paths, Calls calls);
  ~Pins() { stop(); }
  Pins(const Pins&) = delete;
  Pins& operator=(const Pins&) = delete;

  // A service listens, in the network namespace `netns`. Returns at once.
  void watch(const std::shared_ptr<Publication>& publication, const NetnsIdentity& netns);
  void forget(std::uint64_t publication);
  // Once a second.
  void tick();
  // Calls nothing any more when it returns. On a thread that is not the control thread.
  void stop();

 private:
  struct Watched {
    std::shared_ptr<Publication> publication;
    NetnsIdentity netns;
  };
  struct Misplaced {
    std::uint64_t publication = 0;
    std::uint16_t port = 0;
    BetterDevice to;
  };
  // By inode.
  using Sockets = std::map<std::uint64_t, Misplaced>;

  void check();
  void adjust();
  std::map<NetnsIdentity, Sockets> find_misplaced() const;
  void move(Sockets& wanted, const std::vector<pid_t>& processes);
  bool move_one(int socket, const Misplaced& to);
  void keep(const Misplaced& what, const std::string& why);
  void tell(const std::string& why, const std::string& detail);

  ControlThread& control_;
  HostNetwork& network_;
  Calls calls_;
  mutable std::mutex mutex_;
  std::map<std::uint64_t, Watched> watched_;
  bool stopped_ = false;
  std::atomic<bool> due_{false};
  std::atomic<int> attempts_{0};
  // Of the control thread.
  Repinner repinner_;
  std::string told_;
};

}  // namespace sockswitch
