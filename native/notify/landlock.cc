#include "notify/landlock.h"

#include <linux/capability.h>

#include "base/errno_error.h"
#include "kernel/task.h"
#include "notify/context.h"

namespace sockswitch {

void RestrictionMark::widen(Restricted to) {
  auto wanted = static_cast<std::uint32_t>(to);
  std::uint32_t now = who_.load(std::memory_order_relaxed);
  while (now < wanted && !who_.compare_exchange_weak(now, wanted, std::memory_order_release)) {
  }
}

void mark_restricted(RestrictionMark& mark, pid_t tid) {
  Restricted who = Restricted::kAnybody;
  try {
    // The caller is stopped: what it has now it has when the call is made, except for no_new_privs,
    // which another of its threads may set meanwhile.
    const Privileges caller = read_privileges(tid);
    bool without = (caller.effective_capabilities >> CAP_SYS_ADMIN & 1) != 0;
    if (caller.no_new_privs || !without) who = Restricted::kNoNewPrivs;
  } catch (const ErrnoError&) {  // NOLINT(bugprone-empty-catch): unknown, so anybody
  }
  mark.widen(who);
}

bool may_be_restricted(const Context& context, const abi::SeccompNotif& notification) {
  switch (context.restriction.who()) {
    case Restricted::kNobody:
      return false;
    case Restricted::kNoNewPrivs:
      break;
    case Restricted::kAnybody:
      return true;
  }
  try {
    bool could = read_privileges(static_cast<pid_t>(notification.pid)).no_new_privs;
    // It was this caller's only if that has been waiting all the time.
    return could || !context.notify.valid(notification.id);
  } catch (const ErrnoError&) {
    return true;
  }
}

void respect_landlock(Context& context, const abi::SeccompNotif& notification,
                      RouteDecision& decision) {
  bool leads_out =
      decision.outcome == Outcome::kSwitched || decision.outcome == Outcome::kPodmanNetwork;
  if (leads_out && may_be_restricted(context, notification)) decision = {Outcome::kLandlock, 0, {}};
}

}  // namespace sockswitch
