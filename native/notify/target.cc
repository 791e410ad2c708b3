#include "notify/target.h"

#include <fcntl.h>

#include <cerrno>

#include "base/errno_error.h"
#include "kernel/linux_abi.h"
#include "kernel/syscalls.h"
#include "notify/host_socket.h"
#include "notify/replace.h"

namespace sockswitch {

Fetched fetch(Context& context, const abi::SeccompNotif& notification, int number) {
  auto tid = static_cast<pid_t>(notification.pid);
  Caller* caller = &context.callers.find(tid);
  UniqueFd socket = caller->fetch(number);
  if (!socket && errno == ESRCH) {
    // The remembered thread is dead and its id recycled.
    context.callers.forget(tid);
    caller = &context.callers.find(tid);
    socket = caller->fetch(number);
  }
  if (!socket && errno != EBADF) throw_errno("pidfd_getfd");
  return {*caller, std::move(socket)};
}

bool still_waits(Context& context, const abi::SeccompNotif& notification) {
  const auto tid = static_cast<pid_t>(notification.pid);
  if (context.notify.valid(notification.id)) {
    context.callers.find(tid).set_known();
    return true;
  }
  // It may have ended while it was looked at for the first time.
  context.callers.forget(tid);
  return false;
}

std::optional<Target> as_target(const abi::SeccompNotif& notification, int number, Fetched fetched,
                                std::optional<std::uint64_t> netns) {
  auto identity = identify(fetched.socket.get(), netns);
  if (!identity) return {};
  return Target{notification.id, fetched.caller, number, std::move(fetched.socket), *identity};
}

std::optional<Netns> pod_of_caller(const Context& context, pid_t tid) {
  if (!context.policy.pods_egress || !context.container.view) return {};
  Netns netns = Netns::of_process(tid);
  if (netns.identity() == context.container.view->identity()) return {};
  return netns;
}

bool is_handed_in(int host_socket) {
  return int_option(host_socket, SOL_SOCKET, abi::kSoBindToIfindex) == 0;
}

std::optional<Target> find_target(Context& context, const abi::SeccompNotif& notification,
                                  int number) {
  Fetched fetched = fetch(context, notification, number);
  if (!fetched.socket) return {};
  return as_target(notification, number, std::move(fetched));
}

Outcome answer_or_keep(Context& context, const Target& target, std::uint64_t host_socket,
                       int result) {
  const Outcome outcome = answer(context, target.id, result);
  if (outcome == Outcome::kCallerGone) {
    context.interrupted.keep_result(host_socket, result);
  }
  return outcome;
}

bool switch_back(Context& context, Target& target) {
  if (!context.container.view) {
    context.detail = "the container's network is not known";
    return false;
  }
  auto flags = target.caller.flags(target.number);
  if (!flags) return false;
  Registrations registrations =
      find_registrations(context, target.caller, target.socket.get(), target.number, flags->inode);
  if (!registrations.complete()) return false;
  MadeSocket made = make_container_socket(context, target);
  if (!made.fd) {
    context.detail = made.detail;
    return false;
  }
  if (flags->non_blocking && !context.notify.began_blocking(target.id))
    ::fcntl(made.fd.get(), F_SETFL, O_RDWR | O_NONBLOCK);
  if (replace_descriptor(
          context,
          {target.id, target.socket.get(), made.fd.get(), target.number, flags->close_on_exec},
          registrations) != Replaced::kYes) {
    return false;
  }
  target.socket = std::move(made.fd);
  target.identity.netns = netns_cookie(target.socket.get()).value_or(0);
  target.identity.bound = false;
  return true;
}

}  // namespace sockswitch
