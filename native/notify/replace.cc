#include "notify/replace.h"

#include <cerrno>
#include <cstring>
#include <string>

#include "kernel/syscalls.h"

namespace sockswitch {

Registrations find_registrations(Context& context, Caller& caller, int socket, int number,
                                 std::optional<std::uint64_t> inode, bool bounded) {
  Registrations found;
  // While another thread is making a set, what is known of this table is not enough.
  bool refreshed = context.epoll_calls.any();
  const std::uint64_t generation = context.epoll_calls.generation();
  bool refresh = refreshed;
  for (;;) {
    bool stale = false;
    found = {};
    for (Caller::Info& epoll : caller.epolls(generation, socket, refresh)) {
      Membership member = epoll_membership(caller.tid(), epoll.number, socket, number);
      if (member == Membership::kNoEpoll) stale = true;
      if (member != Membership::kPresent) continue;
      if (bounded && !context.epoll_reading.take(epoll.size)) {
        found.obstacle = Outcome::kLargeEpoll;
        return found;
      }
      if (!inode) inode = inode_of(socket);
      auto text = caller.text_of(epoll, context.callers.buffer());
      auto entry = inode ? find_epoll_entry(text, number, *inode) : std::nullopt;
      UniqueFd set = caller.fetch(epoll.number);
      if (!entry || !set) {
        found.obstacle = Outcome::kEpoll;
        continue;
      }
      found.entries.push_back({std::move(set), *entry});
    }
    // A number that is no epoll set any more: it was closed or moved since we looked. Look again,
    // once.
    if (!stale || refreshed) return found;
    refreshed = refresh = true;
  }
}

Replaced replace_descriptor(Context& context, const Replacement& replacement,
                            const Registrations& registrations) {
  const auto& [id, old, fd, number, close_on_exec, complete] = replacement;
  int error = context.notify.replace(id, fd, number, close_on_exec);
  // ESRCH: interrupted after the kernel had queued the descriptor.
  if (error == ENOENT || error == ESRCH) return Replaced::kCallerGone;
  if (error != 0) {
    context.detail = std::string("SECCOMP_IOCTL_NOTIF_ADDFD: ") + ::strerror(error);
    return Replaced::kNotAdded;
  }
  Replaced failed = Replaced::kNotComplete;
  if (complete) context.detail = complete();
  if (!complete || context.detail.empty()) {
    failed = Replaced::kNotInEpoll;
    // The old file lives on while we, or a duplicate in the container, hold it, and would report
    // POLLHUP.
    error = epoll_move(registrations.entries, old, fd, number);
    if (error == 0) return Replaced::kYes;
    context.detail = std::string("epoll_ctl: ") + ::strerror(error);
  }
  // Our duplicate has kept the old file alive, and with it its registrations: putting it back
  // restores everything.
  error = context.notify.replace(id, old, number, close_on_exec);
  if (error == 0) return failed;
  // Another thread has made the number one that the table does not take (RLIMIT_NOFILE). What the
  // kernel would do with the host socket there is not for it to do.
  if (error != ENOENT && error != ESRCH) context.notify.fail(id, EBADF);
  return Replaced::kCallerGone;
}

}  // namespace sockswitch
