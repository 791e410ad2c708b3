#include "switch/replace.h"

#include <linux/kcmp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace sockswitch {
namespace {

enum class Membership : std::uint8_t { kAbsent, kPresent, kNoEpoll };

// Is our descriptor `socket` in the epoll set `epoll` of thread `tid` as `number`? kcmp(2) compares
// without a copy of the whole set, which fdinfo would be. KCMP_EPOLL_TFD: Linux 4.13.
Membership membership(pid_t tid, int socket, int epoll, int number) {
  for (std::uint32_t nth = 0;; ++nth) {
    kcmp_epoll_slot slot{static_cast<std::uint32_t>(epoll), static_cast<std::uint32_t>(number), nth};
    long order = ::syscall(SYS_kcmp, ::getpid(), tid, KCMP_EPOLL_TFD, socket, &slot);
    if (order == 0) return Membership::kPresent;
    if (order > 0) continue;  // another file that once had this number
    if (errno == ENOENT) return Membership::kAbsent;
    // Not built with kcmp, or not allowed: the entry, if any, is found the slow way.
    return errno == EBADF || errno == EINVAL ? Membership::kNoEpoll : Membership::kPresent;
  }
}

}  // namespace

Registrations find_registrations(Context& context, Caller& caller, int socket, int number) {
  Registrations found;
  bool refreshed = false;
  for (;;) {
    bool stale = false;
    found = {};
    for (int epoll : caller.epolls(context.epoll_generation, refreshed)) {
      Membership member = membership(caller.tid(), socket, epoll, number);
      if (member == Membership::kNoEpoll) stale = true;
      if (member != Membership::kPresent) continue;
      struct stat status {};
      if (::fstat(socket, &status) != 0) found.complete = false;
      std::vector<char> text = caller.fdinfo(epoll);
      auto entry = find_epoll_entry({text.data(), text.size()}, number, status.st_ino);
      if (!entry) continue;
      UniqueFd set = caller.fetch(epoll);
      if (!set) found.complete = false;
      found.entries.push_back({std::move(set), *entry});
    }
    // A number that is no epoll set any more: it was closed or moved since we looked. Look again, once.
    if (!stale || refreshed) return found;
    refreshed = true;
  }
}

Replaced replace_descriptor(Context& context, std::uint64_t id, int old, int fd, int number,
                            bool close_on_exec, const Registrations& registrations) {
  int error = context.notify.replace(id, fd, number, close_on_exec);
  if (error == ENOENT) return Replaced::kCallerGone;
  if (error != 0) {
    context.detail = std::string("SECCOMP_IOCTL_NOTIF_ADDFD: ") + ::strerror(error);
    return Replaced::kFailed;
  }
  for (const auto& registration : registrations.entries) {
    error = context.host.epoll_transfer.add(registration.epoll.get(), fd, number, registration.entry);
    if (error == 0) continue;
    context.detail = std::string("epoll_ctl: ") + ::strerror(error);
    // Our duplicate has kept the old file alive, and with it its registrations: putting it back
    // restores everything. The new file leaves the sets when its last descriptor is closed.
    if (context.notify.replace(id, old, number, close_on_exec) == ENOENT) return Replaced::kCallerGone;
    return Replaced::kFailed;
  }
  // The old file lives on while we, or a duplicate in the container, hold it, and would report POLLHUP.
  for (const auto& registration : registrations.entries) {
    context.host.epoll_transfer.remove(registration.epoll.get(), old, number);
  }
  return Replaced::kYes;
}

}  // namespace sockswitch
