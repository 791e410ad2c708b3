// listen(2): executed here, on our copy of the descriptor, except on AF_UNIX sockets.
//
// A call that is continued is executed with whatever descriptor is at that number by then: a second
// thread could put a host socket there that is not connected (any more), which would then accept
// connections on a port of the host. Where sockets are guarded the kernel drops these connections
// (switch/guard_program.h).
//
//   a published port's            by this thread; the relay opens its doors (published.cc)
//   a host socket, handed in      by this thread, as it is (target.h)
//   a host socket, not connected  becomes a container socket first
//   a host socket, connected      EINVAL, as the kernel would say
//   AF_UNIX                       continued, since clients see the process that called
//                                 (SO_PEERCRED, SO_PEERPIDFD). Where sockets are not guarded: by
//                                 the helper program, with the caller's user, groups and pid
//                                 namespace; only the pid is another one
//   any other                     by this thread; the kernel looks at nothing but the socket
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "base/errno_error.h"
#include "kernel/helper.h"
#include "kernel/syscalls.h"
#include "kernel/task.h"
#include "notify/handlers.h"
#include "notify/published.h"
#include "notify/target.h"

namespace sockswitch {
namespace {

// 0 or the errno of the call. Throws ErrnoError if it could not be made.
int listen_as(const Context& context, pid_t tid, int socket, int backlog) {
  UniqueFd user = outermost_user_namespace(tid);
  UniqueFd pid = open_namespace(tid, "pid");
  const std::array<int, 3> fds{user.get(), socket, pid.get()};
  Message answer = run_helper(context.host.helper, fds,
                              {"listen", std::to_string(tid), std::to_string(backlog)});
  if (answer.bytes.empty()) throw ErrnoError(EPROTO, "sockswitch-netns", "listen");
  int error = helper_error(answer);
  if (error < 0) throw ErrnoError(-error, "sockswitch-netns", "listen");
  return error;
}

// Whoever handed a socket in may have pinned it as we do (BindToDevice= in systemd.socket(5)). One
// that listens already, and has no guard of ours, opens nothing by listening once more.
bool listens_unguarded(int socket) {
  return int_option(socket, SOL_SOCKET, SO_ACCEPTCONN).value_or(0) != 0 &&
         int_option(socket, SOL_SOCKET, SO_LOCK_FILTER) == 0;
}

}  // namespace

Outcome handle_listen(Context& context, const abi::SeccompNotif& notification,
                      const CallArguments& arguments) {
  std::uint64_t id = notification.id;
  Fetched fetched = fetch(context, notification, arguments.fd);
  if (!fetched.socket) return answer(context, id, EBADF);
  int domain = int_option(fetched.socket.get(), SOL_SOCKET, SO_DOMAIN).value_or(-1);
  auto backlog = static_cast<int>(arguments.address);
  if (!still_waits(context, notification)) return Outcome::kCallerGone;
  if (domain == AF_UNIX) {
    if (context.guard.available()) return continue_call(context, id, Outcome::kHousekeeping);
    auto tid = static_cast<pid_t>(notification.pid);
    return answer(context, id, listen_as(context, tid, fetched.socket.get(), backlog));
  }
  UniqueFd socket;
  std::shared_ptr<Publication> port;
  auto identity = identify(fetched.socket.get());
  if (identity && identity->netns == context.host.network.cookie()) {
    auto target = as_target(notification, arguments.fd, std::move(fetched));
    if (!target) return answer(context, id, EINVAL);
    const int fd = target->socket.get();
    port = published_port(context, *target);
    if (!port && !is_handed_in(fd) && !listens_unguarded(fd)) {
      bool closed = is_closed(fd) && probe_connect(fd, target->identity.domain) == 0;
      if (!closed) return answer(context, id, EINVAL);
      if (!switch_back(context, *target)) {
        answer(context, id, ENOBUFS);
        return Outcome::kInternal;
      }
    }
    socket = std::move(target->socket);
  } else {
    socket = std::move(fetched.socket);
  }
  int error = port ? listen_published(context, socket.get(), backlog, *port)
              : ::listen(socket.get(), backlog) == 0 ? 0
                                                     : errno;
  if (error != 0) return answer(context, id, error);
  Outcome outcome =
      identity ? published_listen(context, socket.get(), *identity, port) : Outcome::kHousekeeping;
  // Listening again does no harm: nothing to remember for a call that the kernel repeats.
  return answer(context, id, 0, outcome);
}

}  // namespace sockswitch
