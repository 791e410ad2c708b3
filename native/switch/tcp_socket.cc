#include "switch/tcp_socket.h"

#include <netinet/in.h>
#include <poll.h>

#include <cerrno>

#include "kernel/syscalls.h"
#include "policy/address.h"

namespace sockswitch {
namespace {

const Address kAny6{};
const Address kAny4 = Address::from_v4(in_addr{INADDR_ANY});

}  // namespace

std::optional<SocketIdentity> identify(int fd) {
  // One call tells the domain and whether the socket is bound.
  sockaddr_storage local{};
  socklen_t length = sizeof local;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &length) != 0) return {};
  auto name = destination_of(local, length);
  if (!name) return {};
  SocketIdentity identity{.domain = local.ss_family};
  identity.bound = name->port != 0 || (name->address != kAny6 && name->address != kAny4);
  identity.protocol = int_option(fd, SOL_SOCKET, SO_PROTOCOL).value_or(0);
  identity.netns = netns_cookie(fd).value_or(0);
  return identity;
}

std::uint64_t socket_cookie(int fd) {
  std::uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  return ::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0 ? cookie : 0;
}

Connectable connectable(int fd, int domain) {
  // A TCP socket in state CLOSE polls as POLLHUP (tcp_poll); one with a pending error as POLLERR
  // too.
  struct pollfd state{.fd = fd, .events = 0};
  if (::poll(&state, 1, 0) < 0) return Connectable::kNo;
  if ((state.revents & POLLERR) != 0) return Connectable::kFailed;
  if ((state.revents & POLLHUP) == 0) return Connectable::kNo;
  // CLOSE is also the state of a connection that has ended, whose connect(2) says EISCONN. The
  // kernel looks at that before it looks at the address, so an address of the wrong family tells
  // them apart: EAFNOSUPPORT means that the socket would have connected.
  sockaddr_storage wrong{};
  wrong.ss_family = static_cast<sa_family_t>(domain == AF_INET ? AF_INET6 : AF_PACKET);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&wrong), sizeof(sockaddr_in6)) == 0) {
    return Connectable::kNo;
  }
  return errno == EAFNOSUPPORT ? Connectable::kYes : Connectable::kNo;
}

}  // namespace sockswitch
