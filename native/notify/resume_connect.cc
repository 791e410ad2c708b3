// The end of a connect(2) that a killed daemon had begun (Listener::resume()).
//
// Whoever finds an unclosed host socket at the descriptor's number finds the work done but for the
// answer. A non-blocking caller is told EINPROGRESS, as always. A blocking one is left to the
// kernel, which waits for the connection; only where the connect had succeeded and been told so
// (EISCONN) the answer is given here. A closed host socket had not begun to connect: the call is
// handled as a new one. What was to be carried over after the replacement and was not (options,
// epoll registrations) is lost with the daemon that held the container socket.
#include <netinet/in.h>

#include "kernel/syscalls.h"
#include "notify/handlers.h"
#include "notify/host_socket.h"
#include "notify/target.h"

namespace sockswitch {
namespace {

bool is_established(int fd) {
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  return ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) == 0;
}

}  // namespace

std::optional<Outcome> resume_connect(Context& context, const abi::SeccompNotif& notification,
                                      const CallArguments& arguments) {
  auto target = find_target(context, notification, arguments.fd);
  if (!target || !target->of_host(context) || is_closed(target->socket.get())) return {};
  if (!still_waits(context, notification)) return Outcome::kCallerGone;
  auto flags = target->caller.flags(target->number);
  if (!flags) return {};
  const int fd = target->socket.get();
  const bool blocking = !flags->non_blocking || context.notify.began_blocking(target->id);
  if (blocking && flags->non_blocking) set_blocking(fd);
  if (blocking && !is_established(fd)) {
    return continue_call(context, target->id, Outcome::kSwitched);
  }
  // The kernel's own bookkeeping of a connect that nobody has waited for yet ends with this.
  if (blocking) probe_connect(fd, target->identity.domain);
  const int result = blocking ? 0 : EINPROGRESS;
  const Outcome outcome = answer_or_keep(context, *target, socket_cookie(fd), result);
  return outcome == Outcome::kHousekeeping ? Outcome::kSwitched : outcome;
}

}  // namespace sockswitch
