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
// translates that program each time. Where there is neither, what is left are the pin and our
// checks (docs/threat-model.md).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "kernel/control_thread.h"
#include "kernel/helper.h"
#include "kernel/unique_fd.h"
#include "switch/guard_program.h"

namespace sockswitch {

// One for the process.
class GuardSource {
 public:
  enum class Means : std::uint8_t { kNone, kClassic, kLoaded };

  // Tries the one, then the other.
  struct Paths {
    std::string program;  // sockswitch-guard
    std::string socket;   // where a service manager starts it for whoever connects
  };
  explicit GuardSource(Paths paths);

  Means means() const { return means_; }
  bool available() const { return means_ != Means::kNone; }
  // A loaded program; only with kLoaded, and by one thread at a time. Throws ErrnoError.
  UniqueFd load(const GuardRole& role);

 private:
  bool start();
  bool run_program();
  bool connect();

  Paths paths_;
  std::unique_ptr<HelperProcess> process_;
  UniqueFd channel_;  // to one that we have not started
  UniqueFd client_;   // what every container needs is loaded once
  Means means_ = Means::kNone;
};

// What one thread guards its sockets with; programs are loaded by the control thread and
// remembered.
class SocketGuard {
 public:
  SocketGuard(GuardSource& source, ControlThread& control) : source_(source), control_(control) {}

  // Attaches and locks the filter, where that is possible here. 0 or an errno. Throws ErrnoError
  // where a program cannot be loaded any more.
  int attach(int fd, const GuardRole& role);

 private:
  GuardSource& source_;
  ControlThread& control_;
  std::map<GuardRole, UniqueFd> loaded_;
};

}  // namespace sockswitch
