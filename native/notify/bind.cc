// bind(2).
//
//   TCP, to a published port      a socket of the host takes its place (published.cc)
//   a host socket, not connected  becomes a container socket first
//   a host socket, connected      EINVAL, or what the kernel says of the address before that
//   one that was handed in        the kernel's (target.h)
//   to an address of the host     to the container's own (shown_address.h), where the kernel
//                                 refuses the one that was asked for
//   everything else               the kernel's: it alone knows what the caller may do (privileged
//                                 ports, Landlock, other security modules)
//
// A call that is continued is executed with whatever descriptor is at that number by then. A host
// socket that a second thread puts there meanwhile is bound to a port of the host: it is pinned and
// guarded as ever, and accepts nobody (listen.cc), so the port is taken until it is closed, and no
// more (docs/threat-model.md, "What stays").
//
// Two binds of a container socket are executed here: to an address of the host, and to a published
// port in a container whose profile does not report listen(2), since the relay has to find it
// bound. For these families that is exact, since the kernel looks at the socket alone, with the one
// exception of ports that need a privilege.
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "kernel/syscalls.h"
#include "notify/handlers.h"
#include "notify/host_socket.h"
#include "notify/published.h"
#include "notify/shown_address.h"
#include "notify/target.h"

namespace sockswitch {
namespace {

// The port is at the same place in both families, and in AF_UNSPEC, which bind(2) takes for
// AF_INET.
std::uint16_t port_of(const SocketName& name) {
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(name.raw);
  return name.length >= sizeof v4 ? ntohs(v4.sin_port) : std::uint16_t{0};
}

// What a call asked for, and where that is an address of the host, what it means.
struct Wanted {
  SocketName asked;
  std::optional<Destination> to;  // as the container's network has it
  std::optional<SocketName> instead;
};

Wanted read_wanted(Context& context, const Target& target, const SocketName& asked) {
  Wanted wanted{.asked = asked, .to = destination_of(asked.raw, asked.length), .instead = {}};
  if (!wanted.to) return wanted;
  auto own = own_in_place_of(context, target, *wanted.to);
  if (!own) return wanted;
  wanted.to->address = *own;
  wanted.instead = SocketName::of(asked.raw.ss_family, *own, wanted.to->port);
  return wanted;
}

// 0 or an errno.
int bind_to(int fd, const Wanted& wanted) {
  if (::bind(fd, wanted.asked.get(), wanted.asked.length) == 0) return 0;
  if (errno != EADDRNOTAVAIL || !wanted.instead) return errno;
  return ::bind(fd, wanted.instead->get(), wanted.instead->length) == 0 ? 0 : errno;
}

void without_port(SocketName& name) { reinterpret_cast<sockaddr_in&>(name.raw).sin_port = 0; }

// What the kernel says to a bind on a connected socket: it looks at the address first, by the
// container's own network, and only then at the state of the socket.
int error_if_connected(const Context& context, const Target& target, Wanted wanted) {
  if (!context.container.view) return EINVAL;
  MadeSocket probe = make_container_socket(context, target);
  if (!probe.fd) return EINVAL;
  without_port(wanted.asked);  // the address alone is in question
  if (wanted.instead) without_port(*wanted.instead);
  const int error = bind_to(probe.fd.get(), wanted);
  return error == 0 ? EINVAL : error;
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

Outcome execute(Context& context, const Target& target, const Wanted& wanted) {
  int fd = target.socket.get();
  std::uint64_t cookie = socket_cookie(fd);
  if (!may_bind(context, target, port_of(wanted.asked))) {
    return answer(context, target.id, EACCES);
  }
  // What was read of this caller is its own only if it has been waiting all the time.
  if (!context.notify.valid(target.id)) return Outcome::kCallerGone;
  if (const int error = bind_to(fd, wanted); error != 0) {
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

  SocketName asked;
  asked.length = arguments.length;
  if (arguments.length > sizeof asked.raw) {
    return of_host ? answer(context, id, EINVAL)
                   : continue_call(context, id, Outcome::kHousekeeping);
  }
  if (!read_memory(static_cast<pid_t>(notification.pid), arguments.address, &asked.raw,
                   arguments.length)) {
    return of_host ? answer(context, id, EFAULT)
                   : continue_call(context, id, Outcome::kHousekeeping);
  }
  if (of_host && published_port(context, *target)) return bound_already(context, *target);
  const Wanted wanted = read_wanted(context, *target, asked);
  if (of_host) {
    if (!is_closed(target->socket.get())) {
      return answer(context, id, error_if_connected(context, *target, wanted));
    }
    if (!switch_back(context, *target)) {
      context.notify.fail(id, EADDRNOTAVAIL);
      return Outcome::kInternal;
    }
  }
  auto published = wanted.to ? published_bind(context, *target, *wanted.to) : std::nullopt;
  const bool is_port = published && published->port;
  if (!is_port && !wanted.instead) {
    return continue_call(context, id, published ? published->outcome : Outcome::kHousekeeping);
  }
  // What is restricted is the kernel's to bind: clients of a published port are relayed.
  if (may_be_restricted(context, notification)) {
    context.detail = "bind to port " + std::to_string(wanted.to->port);
    return continue_call(context, id, Outcome::kLandlock);
  }
  if (is_port && published->outcome == Outcome::kPublished && !target->identity.bound &&
      asked.raw.ss_family == target->identity.domain) {
    if (!may_bind(context, *target, wanted.to->port)) return answer(context, id, EACCES);
    if (!context.notify.valid(id)) return Outcome::kCallerGone;
    if (auto done = bind_published(context, *target, *wanted.to, *published->port)) return *done;
  }
  const bool unseen = is_port && context.policy.listen_unseen;
  const Outcome outcome = is_port     ? Outcome::kPublishedRelayed
                          : published ? published->outcome
                                      : Outcome::kHousekeeping;
  if (!unseen && !wanted.instead) return continue_call(context, id, outcome);
  Outcome executed = execute(context, *target, wanted);
  if (executed != Outcome::kHousekeeping) return executed;
  if (unseen) published_listen(context, target->socket.get(), target->identity, nullptr);
  return outcome;
}

}  // namespace sockswitch
