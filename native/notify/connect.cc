// connect(2), start to end.
//
//   a socket of a nested namespace     the kernel's; of a pod that is opted in, to a public address
//                                      or a listed one, as below (pods.h)
//   address is no IPv4/IPv6 one        the kernel's (AF_UNIX, netlink, malformed, unreadable)
//   the container's loopback, ...      the kernel's, on the container's own socket
//   not a TCP socket of the container  the kernel's, on the fallback network
//   a host socket that was handed in   the kernel's (target.h)
//   another host socket                one of ours: see `reconnect`
//   a neighbour's published port       a host socket, connected to the neighbour's on the host
//   destination judged "fallback"      the kernel's, on the container's own socket
//   otherwise                          a host socket starts to connect, and takes the number
//
// In this order, since each question is a system call that the caller waits for
// (docs/performance.md). What is left to the kernel without a look at more needs no proof that the
// caller still waits: an answer to a caller that is gone is refused.
//
// The address is read once; that copy is judged and used. The connect itself is always started
// here, on a non-blocking socket. A non-blocking caller gets EINPROGRESS, as it would from the
// kernel. For a blocking caller whose connection is not there at once, the call is continued: the
// kernel then finds a socket that is connecting and waits for it, honouring SO_SNDTIMEO and signals
// as ever, without another look at the address. (A second thread that rewrites the address to
// AF_UNSPEC meanwhile disconnects its own socket, which stays pinned to its device.) One difference
// shows: when SO_SNDTIMEO runs out, the continued call says EALREADY, not EINPROGRESS.
//
// The host socket takes the number first and starts to connect then: what another thread sets from
// that moment on is set on the host socket itself, so each option is read once. (Of an option that
// the container socket had, too, its value may win if that is carried over a moment later.) The SYN
// goes out as soon as the host socket has what it depends on; the other options are carried over in
// the time until the peer answers (switch/socket_options.h). If the connect fails at once the
// container socket gets its number back. (Another thread that makes the descriptor blocking in
// between makes the container's own listener thread wait for the peer.)
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kernel/syscalls.h"
#include "notify/handlers.h"
#include "notify/host_socket.h"
#include "notify/pods.h"
#include "notify/replace.h"
#include "notify/target.h"

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

// Reports to the caller, who has the host socket (of that cookie) by now, how its connect stands.
Outcome answer_connect(Context& context, const Target& target, std::uint64_t host_socket,
                       bool blocking, int state) {
  if (blocking && state == EINPROGRESS) {
    // Also when the connection is there by now: the kernel finds that out and says 0. So a signal
    // may interrupt the caller at any moment, even after our answer (which the kernel then drops
    // without telling us): the repeated call meets the same socket. Nothing has to be remembered.
    context.notify.let_continue(target.id);
    return Outcome::kSwitched;
  }
  answer_or_keep(context, target, host_socket, blocking ? 0 : EINPROGRESS);
  return Outcome::kSwitched;
}

// What the guard lets it carry, where it goes to an address of IPv4 or IPv6. Sockets of IPv4 carry
// nothing else anyway.
GuardFamily family_of(const Target& target, bool v4, bool one_family) {
  if (!one_family || target.identity.domain == AF_INET) return GuardFamily::kBoth;
  return v4 ? GuardFamily::kV4 : GuardFamily::kV6;
}

// A connected host socket for a neighbour's service. None if that cannot be: the container's
// network leads there, too.
MadeSocket connect_to_neighbour(Context& context, const Target& target, OptionCopy& options,
                                bool rare, const Shortcut& shortcut) {
  const ClientUse use{
      .domain = target.identity.domain,
      .device = shortcut.outlet.device,
      .family = family_of(target, shortcut.outlet.address.is_v4(), shortcut.one_family),
      .neighbours_port = shortcut.door->publication->mapping.host_port};
  MadeSocket made = context.pool.take(use, context.container.fresh);
  if (!made.fd) return made;
  made.detail = options.first(made.fd.get());
  if (made.detail.empty() && rare) made.detail = options.rare(made.fd.get());
  if (made.detail.empty() &&
      !shortcut.connect(made.fd.get(), target.identity.domain, context.names.maps())) {
    made.detail = shortcut.text() + " does not answer";
  }
  if (!made.detail.empty()) made.fd.reset();
  return made;
}

// The kernel executes the call on the container's own socket; a call on a host socket fails with
// `error`.
Outcome fall_back(Context& context, const Target& target, Outcome outcome, int error) {
  if (!target.of_host(context)) return continue_call(context, target.id, outcome);
  return answer(context, target.id, error, outcome);
}

// Where a host socket is to connect to: by `device` to the address that the caller gave, or to a
// neighbour's service.
struct Leaving {
  int device = 0;
  std::optional<Address> source;  // that the fallback program would have bound it to
  bool one_family = false;        // as in RouteDecision
  const Shortcut* shortcut = nullptr;
  const Pod* pod = nullptr;  // whose socket it is
  // That it may reach, instead of public addresses.
  // NOLINTNEXTLINE(readability-redundant-member-init): -Wmissing-field-initializers wants it
  std::optional<Ipv4Block> pods_network = std::nullopt;
};

Leaving leaving(const RouteDecision& decision) {
  return {.device = decision.device, .source = decision.source, .one_family = decision.one_family};
}

// Whether options that are rarely set may have been set on this socket.
bool may_have_rare_options(Context& context, const Target& target) {
  return target.of_host(context) || context.policy.options_unseen || context.options.is_set();
}

Outcome switch_socket(Context& context, Target& target, const SocketAddress& address,
                      const Destination& to, const Leaving& way) {
  auto flags = target.caller.flags(target.number);
  if (!flags) return fall_back(context, target, Outcome::kNotASocket, EBADF);
  const bool blocking = !flags->non_blocking || context.notify.began_blocking(target.id);
  context.notify.note_blocking(blocking);
  const bool of_host = target.of_host(context);
  Registrations registrations = find_registrations(context, target.caller, target.socket.get(),
                                                   target.number, flags->inode, !of_host);
  if (!registrations.complete()) {
    context.detail = to.text();
    return fall_back(context, target, registrations.obstacle, ENETUNREACH);
  }
  const OptionBaselines& fresh = way.pod ? way.pod->fresh : context.container.fresh;
  const OptionBaselines& baselines = of_host ? context.host.fresh : fresh;
  const OptionBaseline* baseline = baselines.of(target.identity.domain);
  if (!baseline) {
    context.detail = "no fresh socket to compare options with";
    return fall_back(context, target, Outcome::kInternal, ENETUNREACH);
  }
  OptionCopy options(target.socket.get(), *baseline, of_host);
  // What pods set is not noted.
  const bool rare = way.pod || may_have_rare_options(context, target);

  MadeSocket host_socket;
  if (way.shortcut) {
    host_socket = connect_to_neighbour(context, target, options, rare, *way.shortcut);
    if (!host_socket.fd) {
      context.detail = host_socket.detail;
      return continue_call(context, target.id, Outcome::kNeighbourRelayed);
    }
  } else {
    const ClientUse use{.domain = target.identity.domain,
                        .device = way.device,
                        .family = family_of(target, to.address.is_v4(), way.one_family),
                        .of_pod = way.pod != nullptr,
                        .pods_network = way.pods_network};
    host_socket = context.pool.take(use, fresh);
    if (!host_socket.fd) {
      context.detail = host_socket.detail;
      return fall_back(context, target, host_socket.outcome, ENETUNREACH);
    }
    if (way.source && !bind_source(host_socket.fd.get(), target.identity.domain, *way.source)) {
      context.detail = "bind to " + way.source->text() + ": " + ::strerror(errno);
      return fall_back(context, target, Outcome::kHostError, ENETUNREACH);
    }
    // What cannot be carried over is one of these, mostly: then the number need not change hands.
    if (rare) {
      context.detail = options.rare(host_socket.fd.get());
      if (!context.detail.empty())
        return fall_back(context, target, Outcome::kSocketOption, ENETUNREACH);
    }
  }
  const int fd = host_socket.fd.get();
  int state = EINPROGRESS;  // of the connect, for answer_connect()
  const auto failed = [&] { return state != 0 && state != EINPROGRESS; };
  const auto complete = [&]() -> std::string {
    std::string option = way.shortcut ? options.again(fd) : options.first(fd);
    if (option.empty() && !way.shortcut) state = start_connect(fd, address);
    // Also where the number goes back, which may come too late.
    if (blocking) set_blocking(fd);
    if (!option.empty()) return option;
    if (failed()) return to.text() + ": " + ::strerror(state);
    option = options.late(fd);
    // Another thread has just been told to set one.
    if (option.empty() && context.option_calls.any()) option = options.rare(fd);
    return option;
  };
  switch (replace_descriptor(
      context, {target.id, target.socket.get(), fd, target.number, flags->close_on_exec, complete},
      registrations)) {
    case Replaced::kYes:
      // Not ours any more: the caller, who may close it at once, is to be the last who does.
      host_socket.fd.reset();
      return answer_connect(context, target, host_socket.cookie, blocking, state);
    case Replaced::kNotAdded:
      return fall_back(context, target, Outcome::kNotAdded, ENETUNREACH);
    case Replaced::kNotComplete:
      if (failed()) return fall_back(context, target, Outcome::kHostError, state);
      return fall_back(context, target, Outcome::kSocketOption, ENETUNREACH);
    case Replaced::kNotInEpoll:
      return fall_back(context, target, Outcome::kEpoll, ENETUNREACH);
    case Replaced::kCallerGone:
      break;
  }
  return Outcome::kCallerGone;  // the call, if it is repeated, begins anew
}

// What the container has changed of its own network by now counts in the next judgement.
void take_own_changes(Context& context) {
  if (!context.policy.permissions.network_admin) return;
  if (!context.reports) context.reports = context.container.view->reports();
  context.container.view->count_reports(context.reports.get());
}

// A host socket that is not connected (its connect failed) may connect again: it is judged as the
// first time. AF_UNSPEC, and destinations that are the container's, make it a container socket
// again. What cannot be done so is refused, never continued: the kernel would do it in the host's
// namespace.
Outcome reconnect(Context& context, const abi::SeccompNotif& notification, Target& target,
                  const SocketAddress& address, const std::optional<Destination>& to) {
  if (context.interrupted.has_results()) {
    const std::uint64_t cookie = socket_cookie(target.socket.get());
    if (auto result = context.interrupted.take_result(cookie)) {
      return answer_or_keep(context, target, cookie, *result);
    }
  }
  if (!to) {
    if (!switch_back(context, target)) {
      context.notify.fail(target.id, EINVAL);
      return Outcome::kInternal;
    }
    return answer(context, target.id, 0, Outcome::kDisconnect);
  }
  int fd = target.socket.get();
  if (!is_closed(fd)) return continue_call(context, target.id, Outcome::kNotFresh);
  if (int error = probe_connect(fd, target.identity.domain); error != 0) {
    return answer(context, target.id, error, Outcome::kPendingError);
  }
  // What it may reach is said of the caller's pod, not of where the socket came from.
  const bool of_pod = pod_of_caller(context, target.caller.tid()).has_value();
  take_own_changes(context);
  RouteDecision decision = of_pod ? RouteDecision{Outcome::kNestedNetns, 0, {}}
                                  : judge(*to, context.policy, *context.container.view, fd);
  context.detail = to->text();
  respect_landlock(context, notification, decision);
  if (decision.outcome == Outcome::kSwitched) {
    return switch_socket(context, target, address, *to, leaving(decision));
  }
  if (!switch_back(context, target)) {
    context.notify.fail(target.id, ENETUNREACH);
    return Outcome::kInternal;
  }
  return continue_call(context, target.id, decision.outcome);
}

// A destination on a Podman network.
Outcome connect_on_podman_network(Context& context, Target& target, const SocketAddress& address,
                                  const Destination& to) {
  context.detail = to.text();
  auto found =
      context.host.relay.neighbours().find(to, *context.container.view, context.policy.permissions);
  if (!found.published) return continue_call(context, target.id, Outcome::kPodmanNetwork);
  if (found.shortcut && !target.identity.bound) {
    Outcome outcome =
        switch_socket(context, target, address, to, {.source = {}, .shortcut = &*found.shortcut});
    return outcome == Outcome::kSwitched ? Outcome::kNeighbour : outcome;
  }
  context.detail += ": ";
  context.detail += found.shortcut ? "bound, or used before" : found.why;
  return continue_call(context, target.id, Outcome::kNeighbourRelayed);
}

// A socket of a pod.
Outcome connect_from_pod(Context& context, const abi::SeccompNotif& notification, Target& target,
                         const SocketAddress& address, const Destination& to) {
  context.detail = to.text();
  const auto leave = [&](Outcome outcome) { return continue_call(context, target.id, outcome); };
  if (auto decision = judge_pod_by_address(to, context.policy)) return leave(decision->outcome);
  if (target.identity.bound) {
    return leave(is_closed(target.socket.get()) ? Outcome::kBound : Outcome::kNotFresh);
  }
  // What keeps a pod from all but public addresses, or a listed network, is the guard.
  if (!context.guard.available()) return leave(Outcome::kUnguarded);
  const auto listed = listed_for_pods(to.address, context.policy);
  std::string why;
  const auto pod = context.container.pods->of(target.identity.netns, target.caller.tid(), why);
  if (!pod) {
    context.detail += ": " + why;
    return leave(Outcome::kUnknownWay);
  }
  RouteDecision decision = pod->view->decide(to, listed, context.policy.permissions);
  respect_landlock(context, notification, decision);
  if (decision.outcome == Outcome::kPodNetwork && listed) {
    context.detail += ": " + listed->text() + ", " + pod->view->obstacle(*listed);
  }
  if (decision.outcome != Outcome::kSwitched) return leave(decision.outcome);
  Leaving way = leaving(decision);
  way.pod = pod.get();
  way.pods_network = listed;
  return switch_socket(context, target, address, to, way);
}

}  // namespace

Outcome handle_connect(Context& context, const abi::SeccompNotif& notification,
                       const CallArguments& arguments) {
  std::uint64_t id = notification.id;
  Fetched fetched = fetch(context, notification, arguments.fd);
  if (!fetched.socket) return continue_call(context, id, Outcome::kNotASocket);
  auto netns = netns_cookie(fetched.socket.get());
  if (!netns) return continue_call(context, id, Outcome::kNotASocket);
  const bool of_host = *netns == context.host.network.cookie();
  const bool of_container = *netns == context.container.view->cookie();
  const bool of_pod = !of_host && !of_container;
  if (of_pod && !context.policy.pods_egress) {
    const Outcome outcome = continue_call(context, id, Outcome::kNestedNetns);
    context.nested.saw(*netns);
    return outcome;
  }
  if (of_pod) context.nested.saw(*netns);

  SocketAddress address;
  address.length = std::min<socklen_t>(arguments.length, sizeof(sockaddr_in6));
  // Lengths beyond sockaddr_storage are EINVAL, unreadable memory is EFAULT: the kernel's to say.
  if (arguments.length < sizeof(sa_family_t) || arguments.length > sizeof(sockaddr_storage) ||
      !read_memory(static_cast<pid_t>(notification.pid), arguments.address, &address.raw,
                   address.length)) {
    return continue_call(context, id, Outcome::kOtherFamily);
  }
  auto to = destination_of(address.raw, address.length);
  if (!to && address.raw.ss_family != AF_UNSPEC)
    return continue_call(context, id, Outcome::kOtherFamily);
  auto rule = to ? fixed_rule(*to) : std::nullopt;
  if (rule && !of_host) {
    if (info(*rule).kind == OutcomeKind::kFallback) context.detail = to->text();
    return continue_call(context, id, *rule);
  }

  auto target = as_target(notification, arguments.fd, std::move(fetched), netns);
  if (!target) return continue_call(context, id, Outcome::kNotASocket);
  if (of_host && is_handed_in(target->socket.get())) {
    return continue_call(context, id, Outcome::kHousekeeping);
  }
  if (target->identity.protocol != IPPROTO_TCP) {
    if (to) context.detail = to->text();
    return continue_call(context, id, rule.value_or(Outcome::kSocketType));
  }
  // The kernel's to refuse: EAFNOSUPPORT.
  if (to && address.raw.ss_family != target->identity.domain) {
    return continue_call(context, id, Outcome::kOtherFamily);
  }
  // Of a thread that is known the memory was read if its flags can be read afterwards, which
  // switch_socket() begins with. Where the call itself was interrupted meanwhile, its number is not
  // given away.
  if ((of_host || !to || !target->caller.is_known()) && !still_waits(context, notification)) {
    return Outcome::kCallerGone;
  }
  if (of_host) return reconnect(context, notification, *target, address, to);
  if (!to) {
    if (of_pod) return continue_call(context, id, Outcome::kDisconnect);
    // It may be connected, so that setting an option on it was not noticed (set_option.cc).
    context.options.set();
    return continue_call(context, id, Outcome::kDisconnect);
  }
  if (of_pod) return connect_from_pod(context, notification, *target, address, *to);
  take_own_changes(context);
  RouteDecision decision =
      judge(*to, context.policy, *context.container.view, target->socket.get());
  respect_landlock(context, notification, decision);
  if (decision.outcome == Outcome::kPodmanNetwork) {
    return connect_on_podman_network(context, *target, address, *to);
  }
  if (decision.outcome != Outcome::kSwitched) {
    context.detail = to->text();
    return continue_call(context, id, decision.outcome);
  }
  // A TCP socket without a local port has never connected, nor listened, nor been bound: it is
  // fresh.
  if (target->identity.bound) {
    bool closed = is_closed(target->socket.get());
    context.detail = to->text();
    return continue_call(context, id, closed ? Outcome::kBound : Outcome::kNotFresh);
  }
  return switch_socket(context, *target, address, *to, leaving(decision));
}

}  // namespace sockswitch
