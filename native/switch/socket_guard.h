// Host sockets that the kernel itself keeps from what they are not for, wherever they go.
//
// A host socket is given out for one connection, or for one service. Whoever holds it can
// disconnect it, connect it elsewhere, bind it and listen: in a race with our checks, or in another
// container that is not accelerated and got it over a Unix socket. So each carries a filter
// (guard_program.h) that is locked: nobody can detach or replace it (socket(7), SO_LOCK_FILTER,
// Linux 3.9). What remains is that a port of the host can be occupied.
//
// Who may attach one:
//
//   SO_ATTACH_FILTER  anybody, up to some kernel before 6.18; then, to TCP sockets, CAP_NET_ADMIN
//   SO_ATTACH_BPF     anybody who holds a loaded program, which takes CAP_BPF to load
//                     (kernel.unprivileged_bpf_disabled). sockswitch-guard has that, where the
//                     administrator gave it, loads programs, and hands them to us.
//
// The second is used where it can be: it costs 2 us a socket, the other one 10, since the kernel
// translates that program each time. Where there is neither, no host socket is given out, or, where
// the user asks for that, one that only the pin and our checks confine (docs/threat-model.md).
//
// A program names addresses of the host, so sockets that are made after these have changed get
// another one.
//
// A guard that has ended (killed, or it has loaded its fill) is started again; one that cannot be
// started is tried again after a pause, and sockets are not given out meanwhile.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "kernel/control_thread.h"
#include "kernel/helper.h"
#include "path/host_network.h"
#include "switch/guard_program.h"

namespace sockswitch {

// One for the process. Used by one thread at a time.
class GuardSource {
 public:
  enum class Means : std::uint8_t { kNone, kClassic, kLoaded };

  // Tries the one, then the other.
  struct Paths {
    std::string program;  // sockswitch-guard
    std::string socket;   // where a service manager starts it for whoever connects
  };
  // `required`: without a guard there is to be no host socket.
  explicit GuardSource(Paths paths, bool required = true);

  // Does not change: any thread may ask.
  Means means() const { return means_; }
  // Why sockswitch-guard could not be had at the start, as an errno; 0 where it could.
  int problem() const { return problem_; }
  bool available() const { return means_ != Means::kNone; }
  // Required, and there is none.
  bool missing() const { return required_ && !available(); }
  // A loaded program; only with kLoaded. `generation`: of the host's network, which has the
  // addresses. Throws ErrnoError.
  UniqueFd load(const GuardUse& use, std::uint64_t generation = 0);

 private:
  using Clock = std::chrono::steady_clock;
  bool start();
  void run_program();
  void connect();
  UniqueFd ask(const GuardUse& use);

  Paths paths_;
  bool required_;
  std::unique_ptr<HelperProcess> process_;
  UniqueFd channel_;              // to one that we have not started
  Clock::time_point next_start_;  // no start before
  int problem_ = 0;
  std::map<GuardUse, UniqueFd> loaded_;
  std::uint64_t generation_ = 0;  // of what is loaded
  Means means_ = Means::kNone;
};

// The role of a socket here, with the addresses that the device has now. Throws ErrnoError.
GuardRole role_of(const GuardUse& use);

// Attaches and locks the filter of `role`; `program` is a loaded one, with kLoaded. 0 or an errno.
int attach_guard(int fd, GuardSource::Means means, const GuardRole& role, int program);

// What one thread guards its sockets with. All are 0 where it has been done, or there are no means
// and none are required; else an errno: the socket is not to be given out.
class SocketGuard {
 public:
  SocketGuard(GuardSource& source, ControlThread& control, const HostNetwork& network)
      : source_(source), control_(control), network_(network) {}

  // For a socket that is pinned to `device`.
  int guard_client(int fd, int device, GuardFamily family) {
    return attach(fd, {GuardKind::kClient, 0, device, family});
  }
  // ... and is a pod's: it reaches public addresses of one family, or one network.
  int guard_pods_client(int fd, int device, bool v4) {
    return attach(fd, {v4 ? GuardKind::kPodClient : GuardKind::kPodClientV6, 0, device});
  }
  int guard_pods_client(int fd, int device, const Ipv4Block& network) {
    return attach(fd, {GuardKind::kPodNetwork, 0, device, GuardFamily::kBoth, network});
  }
  // ... and connects to `port` of a neighbour, on the host's address there.
  int guard_neighbours_client(int fd, int device, GuardFamily family, std::uint16_t port) {
    return attach(fd, {GuardKind::kNeighbour, port, device, family});
  }
  // ... and listens on a published port. `anywhere`: by whatever device, the loopback one included.
  int guard_service(int fd, std::uint16_t port, bool anywhere) {
    const auto kind = anywhere ? GuardKind::kServiceAnywhere : GuardKind::kService;
    return attach(fd, {kind, port, 0});
  }
  // There are the means, so no socket is given out without a guard.
  bool available() const { return source_.available(); }
  // Required, and there is none: all of these fail.
  bool missing() const { return source_.missing(); }

 private:
  struct Ready {
    GuardRole role;    // with kClassic
    UniqueFd program;  // with kLoaded
  };
  int attach(int fd, const GuardUse& use);
  Ready make_ready(const GuardUse& use);

  GuardSource& source_;
  ControlThread& control_;
  const HostNetwork& network_;
  std::uint64_t generation_ = 0;  // of the host's network, when `ready_` was made
  std::map<GuardUse, Ready> ready_;
};

}  // namespace sockswitch
