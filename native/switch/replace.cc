#include "switch/replace.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace sockswitch {

Registrations find_registrations(Context& context, Caller& caller, int socket, int number) {
  Registrations found;
  bool refreshed = false;
  for (;;) {
    bool stale = false;
    found = {};
    for (int epoll : caller.epolls(context.epoll_generation, socket, refreshed)) {
      Membership member = epoll_membership(caller.tid(), epoll, socket, number);
      if (member == Membership::kNoEpoll) stale = true;
      if (member != Membership::kPresent) continue;
      struct stat status{};
      if (::fstat(socket, &status) != 0) found.complete = false;
      std::vector<char> text = caller.fdinfo(epoll);
      auto entry = find_epoll_entry({text.data(), text.size()}, number, status.st_ino);
      UniqueFd set = caller.fetch(epoll);
      if (!entry || !set) {
        found.complete = false;
        continue;
      }
      found.entries.push_back({std::move(set), *entry});
    }
    // A number that is no epoll set any more: it was closed or moved since we looked. Look again,
    // once.
    if (!stale || refreshed) return found;
    refreshed = true;
  }
}

Replaced replace_descriptor(Context& context, std::uint64_t id, int old, int fd, int number,
                            bool close_on_exec, const Registrations& registrations) {
  int error = context.notify.replace(id, fd, number, close_on_exec);
  // ESRCH: interrupted after the kernel had queued the descriptor.
  if (error == ENOENT || error == ESRCH) return Replaced::kCallerGone;
  if (error != 0) {
    context.detail = std::string("SECCOMP_IOCTL_NOTIF_ADDFD: ") + ::strerror(error);
    return Replaced::kFailed;
  }
  for (const auto& registration : registrations.entries) {
    error = epoll_add_as(registration.epoll.get(), fd, number, registration.entry);
    if (error == 0) continue;
    context.detail = std::string("epoll_ctl: ") + ::strerror(error);
    // Our duplicate has kept the old file alive, and with it its registrations: putting it back
    // restores everything. The new file leaves the sets when its last descriptor is closed.
    if (context.notify.replace(id, old, number, close_on_exec) == ENOENT)
      return Replaced::kCallerGone;
    return Replaced::kFailed;
  }
  // The old file lives on while we, or a duplicate in the container, hold it, and would report
  // POLLHUP.
  for (const auto& registration : registrations.entries) {
    epoll_remove_as(registration.epoll.get(), old, number);
  }
  return Replaced::kYes;
}

}  // namespace sockswitch
