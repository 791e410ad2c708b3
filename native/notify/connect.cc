// connect(2), start to end.
//
//   address is no IPv4/IPv6 one        the kernel's (AF_UNIX, netlink, malformed, unreadable)
//   not a TCP socket of the container  the kernel's, on the fallback network
//   a host socket                      one of ours: see `reconnect`
//   a neighbour's published port       a host socket, connected to the neighbour's on the host
//   destination judged "fallback"      the kernel's, on the container's own socket
//   otherwise                          a host socket is made, starts to connect, and takes the
//   number
//
// The address is read once; that copy is judged and used. The connect itself is always started
// here, on a non-blocking socket. A non-blocking caller gets EINPROGRESS, as it would from the
// kernel. For a blocking caller whose connection is not there at once, the call is continued: the
// kernel then finds a socket that is connecting and waits for it, honouring SO_SNDTIMEO and signals
// as ever, without another look at the address. (A second thread that rewrites the address to
// AF_UNSPEC meanwhile disconnects its own socket, which stays pinned to its device.) One difference
// shows: when SO_SNDTIMEO runs out, the continued call says EALREADY, not EINPROGRESS.
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kernel/syscalls.h"
#include "notify/target.h"
#include "publish/relay.h"
#include "switch/host_socket.h"
#include "switch/replace.h"

namespace sockswitch {
namespace {

// The caller's address: the one copy that is judged and used.
struct SocketAddress {
  sockaddr_storage raw{};
  socklen_t length = 0;  // at most sizeof(sockaddr_in6): more is never looked at

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&raw); }
};

// Starts the connect on a host socket. 0: established; EINPROGRESS; another errno: failed.
int start_connect(int fd, const SocketAddress& address) {
  return ::connect(fd, address.get(), address.length) == 0 ? 0 : errno;
}

// The error of a connect that has failed already, as one to a neighbour's closed port has;
// otherwise 0.
int failed_at_once(int fd) {
  return is_closed(fd) ? int_option(fd, SOL_SOCKET, SO_ERROR).value_or(0) : 0;
}

// A socket fresh from socket(2): O_RDWR and O_NONBLOCK are all the flags it has.
void set_blocking(int fd, bool blocking) {
  ::fcntl(fd, F_SETFL, blocking ? O_RDWR : O_RDWR | O_NONBLOCK);
}

// Answers with a result (0 or an errno) that a restarted call will ask for again if this one is
// gone.
Outcome tell(Context& context, const Target& target, int host_socket, int result) {
  bool told =
      result == 0 ? context.notify.answer(target.id, 0) : context.notify.fail(target.id, result);
  if (told) return Outcome::kHousekeeping;
  context.interrupted.keep_result(socket_cookie(host_socket), result);
  return Outcome::kCallerGone;
}

// Tells the caller, who has the host socket by now, how its connect stands.
Outcome deliver(Context& context, const Target& target, int host_socket, bool blocking, int state) {
  if (blocking && state == EINPROGRESS) {
    // Also when the connection is there by now: the kernel finds that out and says 0. So a signal
    // may interrupt the caller at any moment, even after our answer (which the kernel then drops
    // without telling us): the repeated call meets the same socket. Nothing has to be remembered.
    context.notify.let_continue(target.id);
    return Outcome::kSwitched;
  }
  tell(context, target, host_socket, blocking ? 0 : EINPROGRESS);
  return Outcome::kSwitched;
}

// A connected host socket for a neighbour's service; its state, for `deliver`, is EINPROGRESS. None
// if that cannot be: the container's network leads there, too.
UniqueFd connect_to_neighbour(Context& context, const Target& target, const Shortcut& shortcut) {
  MadeSocket made =
      make_host_socket(context, target.socket.get(), target.identity, false, shortcut.outlet.device,
                       shortcut.door->publication->mapping.host_port);
  if (!made.fd) {
    context.detail = made.detail;
    return {};
  }
  if (shortcut.connect(made.fd.get(), target.identity.domain)) return std::move(made.fd);
  context.detail = shortcut.text() + " does not answer";
  return {};
}

// Gives the call back to the kernel, which executes it on the container's own socket; a call on a
// host socket ends here with `error`.
Outcome leave(Context& context, const Target& target, Outcome outcome, int error) {
  if (!target.of_host(context)) return pass(context, target.id, outcome);
  return context.notify.fail(target.id, error) ? outcome : Outcome::kCallerGone;
}

// Where a host socket is to connect to: by `device` to the address that the caller gave, or to a
// neighbour's service.
struct Leaving {
  int device = 0;
  std::optional<Address> source;  // that the fallback program would have bound it to
  const Shortcut* shortcut = nullptr;
};

Outcome switch_socket(Context& context, Target& target, const SocketAddress& address,
                      const Destination& to, const Leaving& way) {
  auto flags = target.caller.flags(target.number);
  if (!flags) return leave(context, target, Outcome::kCallerGone, EBADF);
  bool blocking = !flags->non_blocking;
  Registrations registrations =
      find_registrations(context, target.caller, target.socket.get(), target.number);
  if (!registrations.complete) return leave(context, target, Outcome::kEpoll, ENETUNREACH);

  int state = EINPROGRESS;
  UniqueFd host_socket;
  if (context.interrupted.has_sockets()) {
    auto kept = context.interrupted.take_socket(socket_cookie(target.socket.get()), to);
    host_socket = std::move(kept.fd);
    state = kept.state;
  }
  if (!host_socket && way.shortcut) {
    host_socket = connect_to_neighbour(context, target, *way.shortcut);
    if (!host_socket) return pass(context, target.id, Outcome::kNeighbourRelayed);
  }
  if (!host_socket) {
    MadeSocket made = make_host_socket(context, target.socket.get(), target.identity,
                                       target.of_host(context), way.device);
    if (!made.fd) {
      context.detail = made.detail;
      return leave(context, target, made.outcome, ENETUNREACH);
    }
    host_socket = std::move(made.fd);
    if (way.source && !bind_source(host_socket.get(), target.identity.domain, *way.source)) {
      context.detail = "bind to " + way.source->text() + ": " + ::strerror(errno);
      return leave(context, target, Outcome::kHostError, ENETUNREACH);
    }
    state = start_connect(host_socket.get(), address);
    if (state != 0 && state != EINPROGRESS) {
      context.detail = to.text() + ": " + ::strerror(state);
      return leave(context, target, Outcome::kHostError, state);
    }
    if (int error = blocking ? failed_at_once(host_socket.get()) : 0; error != 0) {
      // The caller's own socket is as fresh as the kernel would have left it.
      return context.notify.fail(target.id, error) ? Outcome::kSwitched : Outcome::kCallerGone;
    }
  }
  if (blocking) set_blocking(host_socket.get(), true);
  switch (replace_descriptor(context, target.id, target.socket.get(), host_socket.get(),
                             target.number, flags->close_on_exec, registrations)) {
    case Replaced::kYes:
      return deliver(context, target, host_socket.get(), blocking, state);
    case Replaced::kFailed:
      return leave(context, target, Outcome::kEpoll, ENETUNREACH);
    case Replaced::kCallerGone:
      break;
  }
  context.interrupted.keep_socket(socket_cookie(target.socket.get()), to,
                                  {std::move(host_socket), state});
  return Outcome::kCallerGone;
}

// A host socket that is not connected (its connect failed) may connect again: it is judged as the
// first time. AF_UNSPEC, and destinations that are the container's, make it a container socket
// again. What cannot be done so is refused, never continued: the kernel would do it in the host's
// namespace.
Outcome reconnect(Context& context, const abi::SeccompNotif& notification, Target& target,
                  const SocketAddress& address, const std::optional<Destination>& to) {
  if (context.interrupted.has_results()) {
    if (auto result = context.interrupted.take_result(socket_cookie(target.socket.get()))) {
      return tell(context, target, target.socket.get(), *result);
    }
  }
  if (!to) {
    if (!switch_back(context, target)) {
      context.notify.fail(target.id, EINVAL);
      return Outcome::kInternal;
    }
    return context.notify.answer(target.id, 0) ? Outcome::kDisconnect : Outcome::kCallerGone;
  }
  int fd = target.socket.get();
  if (!is_closed(fd)) return pass(context, target.id, Outcome::kNotFresh);
  if (int error = probe_connect(fd, target.identity.domain); error != 0) {
    return context.notify.fail(target.id, error) ? Outcome::kNotFresh : Outcome::kCallerGone;
  }
  RouteDecision decision = judge(*to, context.policy, *context.container.view, fd);
  leave_to_landlock(context, notification, decision);
  if (decision.outcome == Outcome::kSwitched) {
    return switch_socket(context, target, address, *to,
                         {.device = decision.device, .source = decision.source});
  }
  if (!switch_back(context, target)) {
    context.notify.fail(target.id, ENETUNREACH);
    return Outcome::kInternal;
  }
  return pass(context, target.id, decision.outcome);
}

// A destination on a Podman network.
Outcome connect_on_podman_network(Context& context, Target& target, const SocketAddress& address,
                                  const Destination& to) {
  auto found = context.host.relay.neighbours().find(to, *context.container.view,
                                                     context.policy.permissions);
  if (!found.published) return pass(context, target.id, Outcome::kPodmanNetwork);
  if (found.shortcut && !target.identity.bound) {
    Outcome outcome = switch_socket(context, target, address, to, {.source = {}, .shortcut = &*found.shortcut});
    return outcome == Outcome::kSwitched ? Outcome::kNeighbour : outcome;
  }
  context.detail += ": ";
  context.detail += found.shortcut ? "bound, or used before" : found.why;
  return pass(context, target.id, Outcome::kNeighbourRelayed);
}

}  // namespace

Outcome handle_connect(Context& context, const abi::SeccompNotif& notification,
                       const CallArguments& arguments) {
  std::uint64_t id = notification.id;
  SocketAddress address;
  address.length = std::min<socklen_t>(arguments.length, sizeof(sockaddr_in6));
  // Lengths beyond sockaddr_storage are EINVAL, unreadable memory is EFAULT: the kernel's to say.
  if (arguments.length < sizeof(sa_family_t) || arguments.length > sizeof(sockaddr_storage) ||
      !read_memory(static_cast<pid_t>(notification.pid), arguments.address, &address.raw,
                   address.length)) {
    return pass(context, id, Outcome::kOtherFamily);
  }
  auto to = destination_of(address.raw, address.length);
  if (!to && address.raw.ss_family != AF_UNSPEC) return pass(context, id, Outcome::kOtherFamily);
  // What was read is this caller's memory only if it has been waiting all the time.
  if (!context.notify.valid(id)) return Outcome::kCallerGone;

  auto target = find_target(context, notification, arguments.fd);
  if (!target) return pass(context, id, Outcome::kNotASocket);
  if (to) context.detail = to->text();
  if (target->identity.protocol != IPPROTO_TCP) {
    // Loopback and the like are no loss, whatever the protocol.
    auto rule = to ? fixed_rule(*to) : std::nullopt;
    return pass(context, id, rule.value_or(Outcome::kSocketType));
  }
  // The kernel's to refuse: EAFNOSUPPORT.
  if (to && address.raw.ss_family != target->identity.domain) {
    return pass(context, id, Outcome::kNotFresh);
  }
  if (target->of_host(context)) return reconnect(context, notification, *target, address, to);
  if (target->identity.netns != context.container.view->cookie()) {
    return pass(context, id, Outcome::kNestedNetns);
  }
  if (!to) return pass(context, id, Outcome::kDisconnect);
  RouteDecision decision =
      judge(*to, context.policy, *context.container.view, target->socket.get());
  leave_to_landlock(context, notification, decision);
  if (decision.outcome == Outcome::kPodmanNetwork) {
    return connect_on_podman_network(context, *target, address, *to);
  }
  if (decision.outcome != Outcome::kSwitched) return pass(context, id, decision.outcome);
  // A TCP socket without a local port has never connected, nor listened, nor been bound: it is
  // fresh.
  if (target->identity.bound) {
    bool closed = is_closed(target->socket.get());
    return pass(context, id, closed ? Outcome::kBound : Outcome::kNotFresh);
  }
  return switch_socket(context, *target, address, *to,
                       {.device = decision.device, .source = decision.source});
}

}  // namespace sockswitch
