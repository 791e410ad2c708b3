#include "switch/tcp_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <cerrno>

#include "base/address.h"
#include "kernel/syscalls.h"

namespace sockswitch {
namespace {

const Address kAny6{};
const Address kAny4 = Address::from_v4(in_addr{INADDR_ANY});

}  // namespace

std::optional<SocketIdentity> identify(int fd, std::optional<std::uint64_t> netns) {
  // One call tells the domain and whether the socket is bound.
  sockaddr_storage local{};
  socklen_t length = sizeof local;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &length) != 0) return {};
  auto name = destination_of(local, length);
  if (!name) return {};
  SocketIdentity identity{.domain = local.ss_family};
  identity.bound = name->port != 0 || (name->address != kAny6 && name->address != kAny4);
  identity.protocol = int_option(fd, SOL_SOCKET, SO_PROTOCOL).value_or(0);
  identity.netns = netns ? *netns : netns_cookie(fd).value_or(0);
  return identity;
}

std::uint64_t socket_cookie(int fd) {
  std::uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  return ::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0 ? cookie : 0;
}

bool is_closed(int fd) {
  // tcp_poll() reports POLLHUP in state CLOSE, and for a connection that is shut down in both
  // directions; poll(2) is the cheaper of the two questions, and mostly answers no.
  struct pollfd poll_for{.fd = fd, .events = 0};
  if (::poll(&poll_for, 1, 0) <= 0 || (poll_for.revents & POLLHUP) == 0) return false;
  std::uint8_t state = 0;  // tcpi_state, the first byte of tcp_info
  socklen_t length = sizeof state;
  return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &length) == 0 && state == TCP_CLOSE;
}

int probe_connect(int fd, int domain) {
  // The socket's own state comes first in __inet_stream_connect(), the address family later: a
  // wrong one is EAFNOSUPPORT if the socket would have connected.
  sockaddr_storage wrong{};
  wrong.ss_family = static_cast<sa_family_t>(domain == AF_INET ? AF_INET6 : AF_PACKET);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&wrong), sizeof(sockaddr_in6)) == 0) {
    return EISCONN;
  }
  return errno == EAFNOSUPPORT ? 0 : errno;
}

}  // namespace sockswitch
