// getsockname(2), which the filter reports only in containers that publish TCP ports and want the
// container's names (annotation sockswitch/names).
//
// Programs find out by it what they serve: haproxy's dst_port, virtual hosts by port, nginx, which
// looks for the listeners that it has inherited, FTP servers, which open a second port beside it.
//
//   a service's socket of the host   what the program bound, also where it listens by now
//   what such a socket accepted      the address that the service asked for; else the container's
//                                    own, of the client's family; the container's port
//   everything else                  what the kernel says of our copy of the descriptor
//
// Other calls are not continued: a second thread could put a service's socket at the number
// meanwhile, which the kernel would call by its name on the host. So what is answered is right for
// the old descriptor.
//
// Where the container has no address of the client's family (IPv6 over a network without it), or
// none that services may be shown, the host's address stays, with the container's port.
//
// The name is written as the kernel does it: the length is read once, the name is cut to it, and
// then its own length is written. process_vm_writev(2) keeps to the caller's page protections. What
// was given as length is gone by then, so a call that has to be handled a second time, after a
// signal or by the next daemon, would take the name's own length for it and write past the end of a
// shorter buffer. For such buffers it is remembered (Interrupted), or `begun` tells the next daemon
// (CallInHand); for others writing again does no harm. It is remembered also where the answer has
// been taken: a caller that a signal has woken, and that has not run yet, loses the answer
// (seccomp_do_user_notification()). Where there is room for no more than the family, the call is
// continued after all: nothing in the name could be wrong then.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/socket_name.h"
#include "kernel/endpoint.h"
#include "kernel/syscalls.h"
#include "notify/handlers.h"
#include "notify/published.h"
#include "notify/target.h"

namespace sockswitch {
namespace {

// A name that is cut to so many bytes holds neither address nor port.
constexpr int kFamilyOnly = sizeof(sa_family_t);

// Whether it is the service's own and not one that was accepted. Both have a specific address where
// the port is published on one, and only there.
bool is_the_service(int socket, const Address& local, const Mapping& mapping) {
  if (is_unspecified(local)) return true;
  if (!mapping.host || is_unspecified(*mapping.host)) return false;
  if (int_option(socket, SOL_SOCKET, SO_ACCEPTCONN).value_or(0) != 0) return true;
  if (!is_closed(socket)) return false;
  // A connection that has ended has received segments, if only the one that made it.
  struct tcp_info info{};
  socklen_t length = sizeof info;
  return ::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && info.tcpi_segs_in == 0;
}

std::optional<Address> own_address(Context& context, bool v4) {
  const NetworkView& view = *context.container.view;
  return context.addresses.find(
      [&](int domain, int type, int protocol) { return view.open_socket(domain, type, protocol); },
      view, v4 ? AF_INET : AF_INET6);
}

// What a socket is called where its name in the kernel is `local`; no value if by that name.
std::optional<SocketName> name_inside(Context& context, int socket, int domain,
                                      const Endpoint& local) {
  const Publication* port = served_port(context, socket, local);
  if (!port) return {};
  Address inside;
  if (is_the_service(socket, local.first, port->mapping)) {
    inside = context.bound.of(socket_cookie(socket), port->mapping.container_port, domain);
  } else {
    inside = context.bound.last(port->mapping.container_port, domain);
    if (is_unspecified(inside)) {
      inside = own_address(context, local.first.is_v4()).value_or(local.first);
    }
  }
  return SocketName::of(domain, inside, port->mapping.container_port);
}

// The name of the caller's descriptor, or the errno of asking for it.
struct Name {
  int error = 0;
  SocketName name;
};

Name name_of(Context& context, const abi::SeccompNotif& notification,
             const CallArguments& arguments) {
  Fetched fetched = fetch(context, notification, arguments.fd);
  if (!fetched.socket) return {.error = EBADF, .name = {}};
  const int socket = fetched.socket.get();
  Name found;
  found.name.length = sizeof found.name.raw;
  auto* raw = reinterpret_cast<sockaddr*>(&found.name.raw);
  if (::getsockname(socket, raw, &found.name.length) != 0) {
    found.error = errno;
    return found;
  }
  auto local = destination_of(found.name.raw, found.name.length);
  if (!local || local->port == 0) return found;
  const int domain = found.name.raw.ss_family;
  if (auto inside = name_inside(context, socket, domain, {local->address, local->port})) {
    found.name = *inside;
  }
  return found;
}

}  // namespace

Outcome handle_get_name(Context& context, const abi::SeccompNotif& notification,
                        const CallArguments& arguments) {
  const std::uint64_t id = notification.id;
  const auto tid = static_cast<pid_t>(notification.pid);
  const Name found = name_of(context, notification, arguments);
  if (found.error != 0) return answer(context, id, found.error);
  const int full = static_cast<int>(found.name.length);
  int given = 0;
  if (!read_memory(tid, arguments.length_at, &given, sizeof given)) {
    return answer(context, id, EFAULT);
  }
  const Interrupted::NameCall here{tid, arguments.address, arguments.length_at};
  if (auto before = context.interrupted.take_length(here); before && given == full) given = *before;
  if (given < 0) return answer(context, id, EINVAL);
  if (given <= kFamilyOnly) return continue_call(context, id, Outcome::kHousekeeping);
  if (given < full) context.interrupted.keep_length(here, given);
  // From here on the memory is written: it has to be this caller's.
  if (!still_waits(context, notification)) return Outcome::kCallerGone;
  if (given < full) context.notify.begin(id);
  const auto size = static_cast<std::size_t>(std::min(given, full));
  const bool written =
      write_memory(tid, {{{.address = arguments.address, .from = &found.name.raw, .size = size},
                          {.address = arguments.length_at, .from = &full, .size = sizeof full}}});
  return answer(context, id, written ? 0 : EFAULT);
}

std::optional<Outcome> resume_get_name(Context& context, const abi::SeccompNotif& notification,
                                       const CallArguments& arguments) {
  const Name found = name_of(context, notification, arguments);
  if (found.error != 0) return {};
  // It was shorter before; the name comes first, so all of it has been written.
  int given = 0;
  const auto tid = static_cast<pid_t>(notification.pid);
  if (!read_memory(tid, arguments.length_at, &given, sizeof given)) return {};
  if (given != static_cast<int>(found.name.length)) return {};
  return answer(context, notification.id, 0);
}

}  // namespace sockswitch
