// getsockopt(2) for the address that a client asked for before the host translated it
// (SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST), which the filter reports only where it reports
// getsockname (get_name.cc).
//
// Proxies (haproxy, Squid, Envoy) ask it of each connection that they accept, and take the answer
// for their own address. The host's connection tracking knows a service's connections by the host's
// address and port. The container's knows none of them, and the kernel says ENOENT.
//
//   a service's socket of the host, or what it accepted   ENOENT where the kernel has an answer;
//                                                         else the kernel's errno
//   everything else                                       the kernel's
//
// The kernel is asked on our copy of the descriptor, with the caller's length: so the errno of a
// wrong one, or of a host without connection tracking, is the kernel's. The address that it writes
// stays here, and nothing is written into the caller's memory.
//
// Other calls are continued, and so are those whose length cannot be read: which errno that is
// depends on the socket. A second thread could change descriptor or memory meanwhile, and would be
// told the host's name of a service's socket, which is no secret (sockswitch/names=host).
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "kernel/endpoint.h"
#include "kernel/syscalls.h"
#include "notify/handlers.h"
#include "notify/published.h"
#include "notify/target.h"

namespace sockswitch {
namespace {

// The filter reports more where it does not see the arguments, or the profile has conditions on
// this call.
bool is_original_destination(const CallArguments& arguments) {
  // SO_ORIGINAL_DST (linux/netfilter_ipv4.h) and IP6T_SO_ORIGINAL_DST
  // (linux/netfilter_ipv6/ip6_tables.h).
  constexpr int kOriginalDestination = 80;
  const bool internet = arguments.level == IPPROTO_IP || arguments.level == IPPROTO_IPV6;
  return internet && arguments.name == kOriginalDestination;
}

bool is_served(const Context& context, int socket) {
  const auto local = own_endpoint(socket);
  return local && served_port(context, socket, *local);
}

// The errno that the container's own network would answer with.
int error_inside(int socket, const CallArguments& arguments, int given) {
  sockaddr_storage ignored{};
  auto length = static_cast<socklen_t>(given);
  const int result = ::getsockopt(socket, arguments.level, arguments.name, &ignored, &length);
  return result == 0 ? ENOENT : errno;
}

}  // namespace

Outcome handle_get_option(Context& context, const abi::SeccompNotif& notification,
                          const CallArguments& arguments) {
  const std::uint64_t id = notification.id;
  const auto go_on = [&] { return continue_call(context, id, Outcome::kHousekeeping); };
  if (!is_original_destination(arguments)) return go_on();
  const Fetched fetched = fetch(context, notification, arguments.fd);
  if (!fetched.socket || !is_served(context, fetched.socket.get())) return go_on();
  int given = 0;
  const auto tid = static_cast<pid_t>(notification.pid);
  if (!read_memory(tid, arguments.length_at, &given, sizeof given)) return go_on();
  return answer(context, id, error_inside(fetched.socket.get(), arguments, given));
}

}  // namespace sockswitch
