// bind(2).
//
//   TCP, to a published port      a socket of the host takes its place (published.cc)
//   a host socket, not connected  becomes a container socket first
//   a host socket, connected      EINVAL, or what the kernel says of the address before that
//   one that was handed in        the kernel's (target.h)
//   everything else               the kernel's: it alone knows what the caller may do (privileged
//                                 ports, Landlock, other security modules)
//
// A call that is continued is executed with whatever descriptor is at that number by then. A host
// socket that a second thread puts there meanwhile is bound to a port of the host: it is pinned and
// guarded as ever, and cannot listen on it (listen.cc), so the port is taken until it is closed,
// and no more (docs/threat-model.md, "What stays").
//
// One bind of a container socket is executed here: to a published port in a container whose profile
// does not report listen(2), since the relay has to find it bound. For these families that is
// exact, since the kernel looks at the socket alone, with the one exception of ports that need a
// privilege.
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "kernel/syscalls.h"
#include "notify/handlers.h"
#include "notify/host_socket.h"
#include "notify/published.h"
#include "notify/target.h"

namespace sockswitch {
namespace {

// The port is at the same place in both families, and in AF_UNSPEC, which bind(2) takes for
// AF_INET.
std::uint16_t port_of(const sockaddr_storage& address, std::uint32_t length) {
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
  return length >= sizeof v4 ? ntohs(v4.sin_port) : std::uint16_t{0};
}

// What the kernel says to a bind on a connected socket: it looks at the address first, by the
// container's own network, and only then at the state of the socket.
int error_if_connected(const Context& context, const Target& target, sockaddr_storage address,
                       std::uint32_t length) {
  if (!context.container.view) return EINVAL;
  MadeSocket probe = make_container_socket(context, target.socket.get(), target.identity);
  if (!probe.fd) return EINVAL;
  reinterpret_cast<sockaddr_in&>(address).sin_port = 0;  // the address alone is in question
  int result = ::bind(probe.fd.get(), reinterpret_cast<const sockaddr*>(&address), length);
  return result == 0 ? EINVAL : errno;
}

bool may_bind(Context& context, const Target& target, std::uint16_t port) {
  return context.ports.may_bind(target.caller.tid(), target.socket.get(), target.identity.netns,
                                port);
}

// A service's socket of the host: bound by this very call, if a signal made the kernel repeat it.
Outcome bound_already(Context& context, const Target& target) {
  std::uint64_t cookie = socket_cookie(target.socket.get());
  if (!context.interrupted.has_results() || !context.interrupted.take_result(cookie)) {
    return answer(context, target.id, EINVAL);
  }
  if (!context.notify.answer(target.id, 0)) context.interrupted.keep_result(cookie, 0);
  return Outcome::kHousekeeping;
}

Outcome execute(Context& context, const Target& target, const sockaddr_storage& address,
                std::uint32_t length) {
  int fd = target.socket.get();
  std::uint64_t cookie = socket_cookie(fd);
  if (!may_bind(context, target, port_of(address, length))) {
    return answer(context, target.id, EACCES);
  }
  // What was read of this caller is its own only if it has been waiting all the time.
  if (!context.notify.valid(target.id)) return Outcome::kCallerGone;
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    int error = errno;
    // Bound already: by this very call, if a signal made the kernel repeat it.
    bool repeated = error == EINVAL && context.interrupted.has_results() &&
                    context.interrupted.take_result(cookie).has_value();
    if (!repeated) return answer(context, target.id, error);
  }
  if (context.notify.answer(target.id, 0)) return Outcome::kHousekeeping;
  context.interrupted.keep_result(cookie, 0);
  return Outcome::kCallerGone;
}

}  // namespace

Outcome handle_bind(Context& context, const abi::SeccompNotif& notification,
                    const CallArguments& arguments) {
  std::uint64_t id = notification.id;
  auto target = find_target(context, notification, arguments.fd);
  if (!target) return continue_call(context, id, Outcome::kHousekeeping);
  bool of_host = target->of_host(context);
  if (of_host && is_handed_in(target->socket.get())) {
    return continue_call(context, id, Outcome::kHousekeeping);
  }

  sockaddr_storage address{};
  if (arguments.length > sizeof address) {
    return of_host ? answer(context, id, EINVAL)
                   : continue_call(context, id, Outcome::kHousekeeping);
  }
  if (!read_memory(static_cast<pid_t>(notification.pid), arguments.address, &address,
                   arguments.length)) {
    return of_host ? answer(context, id, EFAULT)
                   : continue_call(context, id, Outcome::kHousekeeping);
  }
  if (of_host) {
    if (published_port(context, *target)) return bound_already(context, *target);
    if (!is_closed(target->socket.get())) {
      return answer(context, id, error_if_connected(context, *target, address, arguments.length));
    }
    if (!switch_back(context, *target)) {
      context.notify.fail(id, EADDRNOTAVAIL);
      return Outcome::kInternal;
    }
  }
  auto to = destination_of(address, arguments.length);
  auto published = to ? published_bind(context, *target, *to) : std::nullopt;
  if (!published) return continue_call(context, id, Outcome::kHousekeeping);
  if (!published->port) return continue_call(context, id, published->outcome);
  // What is restricted is the kernel's to bind: its clients are relayed.
  if (may_be_restricted(context, notification)) {
    context.detail = "bind to port " + std::to_string(to->port);
    return continue_call(context, id, Outcome::kLandlock);
  }
  if (published->outcome == Outcome::kPublished && !target->identity.bound &&
      address.ss_family == target->identity.domain) {
    if (!may_bind(context, *target, to->port)) return answer(context, id, EACCES);
    if (!context.notify.valid(id)) return Outcome::kCallerGone;
    if (auto done = bind_published(context, *target, *to, *published->port)) return *done;
  }
  if (!context.policy.listen_unseen) return continue_call(context, id, Outcome::kPublishedRelayed);
  Outcome executed = execute(context, *target, address, arguments.length);
  if (executed != Outcome::kHousekeeping) return executed;
  published_listen(context, target->socket.get(), target->identity, nullptr);
  return Outcome::kPublishedRelayed;
}

}  // namespace sockswitch
