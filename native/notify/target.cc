#include "notify/target.h"

#include <fcntl.h>

#include <cerrno>

#include "kernel/errno_error.h"
#include "switch/host_socket.h"
#include "switch/replace.h"

namespace sockswitch {

std::optional<Target> find_target(Context& context, const abi::SeccompNotif& notification,
                                  int number) {
  auto tid = static_cast<pid_t>(notification.pid);
  Caller* caller = &context.callers.find(tid);
  UniqueFd socket = caller->fetch(number);
  if (!socket && errno == ESRCH) {
    // The remembered thread is dead and its id recycled.
    context.callers.forget(tid);
    caller = &context.callers.find(tid);
    socket = caller->fetch(number);
  }
  if (!socket) {
    if (errno == EBADF) return {};
    throw_errno("pidfd_getfd");
  }
  auto identity = identify(socket.get());
  if (!identity) return {};
  return Target{notification.id, *caller, number, std::move(socket), *identity};
}

bool switch_back(Context& context, Target& target) {
  auto flags = target.caller.flags(target.number);
  if (!flags) return false;
  Registrations registrations =
      find_registrations(context, target.caller, target.socket.get(), target.number);
  if (!registrations.complete) return false;
  MadeSocket made = make_container_socket(context, target.socket.get(), target.identity);
  if (!made.fd) {
    context.detail = made.detail;
    return false;
  }
  if (flags->non_blocking) ::fcntl(made.fd.get(), F_SETFL, O_RDWR | O_NONBLOCK);
  return replace_descriptor(context, target.id, target.socket.get(), made.fd.get(), target.number,
                            flags->close_on_exec, registrations) == Replaced::kYes;
}

}  // namespace sockswitch
