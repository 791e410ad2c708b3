// The names by which services know clients that a socket of the daemon stands for.
//
// sockswitch-names (programs/names.cc has the theory) attaches two programs to a cgroup that the
// daemon is in, and hands over the maps from which they take names, and the links. A name is given
// to a client's socket before it connects, and ends with that socket; where the socket is to be
// bound to a device, the accepted one gets the name before that. The programs end with the links:
// the keeper keeps some for what was accepted before (src/daemon/publish/kept-names.ts).
//
// Whether it works depends on the kernel (5.8; 5.19 for writing the maps without a capability), on
// the program's capabilities and on the cgroup: a daemon that was started in a login session is in
// none that belongs to its user. So it is tried at the start, on two sockets of our own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "kernel/control_thread.h"
#include "kernel/endpoint.h"
#include "kernel/unix_socket.h"
#include "protocol/names_protocol.h"

namespace sockswitch {

// The maps, in the calling thread's descriptor table. Both calls: false, with errno and nothing
// changed, where it cannot be done or the name is none for others to see.
class NameMaps {
 public:
  NameMaps() = default;
  NameMaps(UniqueFd by_socket, UniqueFd by_cookie)
      : by_socket_(std::move(by_socket)), by_cookie_(std::move(by_cookie)) {}

  explicit operator bool() const { return by_socket_ && by_cookie_; }
  // From now on the peer of `fd`, a TCP socket that is not connected yet, has `name` for it, as
  // long as `fd` is bound to no device. Port 0: that of `fd`.
  bool show(int fd, const Endpoint& name) const;
  // From now on the accepted socket with this cookie (SO_COOKIE) has `name` for its peer.
  bool keep(std::uint64_t cookie, const Endpoint& name) const;
  // For another table.
  const UniqueFd& by_socket() const { return by_socket_; }
  const UniqueFd& by_cookie() const { return by_cookie_; }

 private:
  UniqueFd by_socket_;
  UniqueFd by_cookie_;
};

// One for the process, in its common descriptor table.
class PeerNames {
 public:
  struct Paths {
    std::string program;  // sockswitch-names
    std::string socket;   // where a service manager starts it for whoever connects
  };
  struct Problem {
    NamesStage stage = NamesStage::kDone;
    int error = 0;  // an errno
  };
  // Tries the one, then the other.
  explicit PeerNames(const Paths& paths);

  bool available() const { return static_cast<bool>(maps_); }
  // Why they cannot be had.
  const Problem& problem() const { return problem_; }
  // Empty where they cannot.
  const NameMaps& maps() const { return maps_; }
  // As long as anybody has them open the programs go on, with the maps.
  const std::vector<UniqueFd>& links() const { return links_; }

 private:
  Problem take(Message answer);
  Problem try_it() const;
  void drop();

  NameMaps maps_;
  std::vector<UniqueFd> links_;
  Problem problem_;
};

// The maps for a thread with a table of its own, which gets them when it first needs them.
class ThreadNames {
 public:
  ThreadNames(const PeerNames& names, ControlThread& control) : names_(names), control_(control) {}
  // Empty where they cannot be had.
  const NameMaps& maps();

 private:
  const PeerNames& names_;
  ControlThread& control_;
  NameMaps maps_;
};

}  // namespace sockswitch
