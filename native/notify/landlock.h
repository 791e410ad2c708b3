// Programs that have restricted themselves by Landlock (landlock(7)): a connect(2) or bind(2) that
// this process makes for them is not seen by the kernel's check, so it must not be made.
//
// The kernel says of no process whether it is restricted. What is known:
//
//   - landlock_restrict_self(2) is reported by the filter, before the kernel executes it, and then
//     continued. A restriction is inherited by fork(2) and execve(2), as the filter is: so it is
//     known by the listener that reported it, and does not reach other listeners of the container
//     (podman exec).
//   - The call takes no_new_privs or CAP_SYS_ADMIN, and no_new_privs is inherited, too, and never
//     cleared. So where the caller had it, or has no CAP_SYS_ADMIN, all that can be restricted have
//     no_new_privs (`NoNewPrivs:` in /proc/TID/status): the others are switched as before.
//
// A call that fails marks all the same: it is marked before it is made. The mark is in the
// listener's record, where neither a restart nor an upgrade of the daemon clears it.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "kernel/linux_abi.h"
#include "path/network_view.h"

namespace sockswitch {

class NotifyFd;
struct Context;

// Which processes of a listener may be restricted. Ordered, and stored: never renumbered.
enum class Restricted : std::uint32_t {
  kNobody = 0,
  kNoNewPrivs = 1,  // those that have no_new_privs
  kAnybody = 2,
};

// In a listener's record.
class RestrictionMark {
 public:
  Restricted who() const { return static_cast<Restricted>(who_.load(std::memory_order_acquire)); }
  // Only ever widens.
  void widen(Restricted to);

 private:
  std::atomic<std::uint32_t> who_{0};
};

// landlock_restrict_self(2) is about to be called by thread `tid`.
void mark_restricted(RestrictionMark& mark, pid_t tid);

// Whether the caller may be restricted; true where it cannot be told.
bool may_be_restricted(const Context& context, const abi::SeccompNotif& notification);

// For a decision that leads to a host socket: kLandlock instead, if the caller may be restricted.
void respect_landlock(Context& context, const abi::SeccompNotif& notification,
                      RouteDecision& decision);

}  // namespace sockswitch
