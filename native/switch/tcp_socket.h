// What a descriptor is, asked of the kernel at the moment when it matters: no table follows
// descriptors through dup(2), fork(2) and exec(2).
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>

#include "base/unique_fd.h"

namespace sockswitch {

struct SocketIdentity {
  int domain = 0;           // AF_INET or AF_INET6
  int protocol = 0;         // IPPROTO_TCP, IPPROTO_MPTCP, IPPROTO_UDP, ...
  std::uint64_t netns = 0;  // SO_NETNS_COOKIE
  bool bound = false;       // a local address or port has been set, or kept from a failed connect
};

// No value if `fd` is not an IPv4 or IPv6 socket. `netns`: what netns_cookie() says, where it has
// been asked already.
std::optional<SocketIdentity> identify(int fd, std::optional<std::uint64_t> netns = {});

// Unique for each socket as long as the kernel runs (SO_COOKIE); 0 on error.
std::uint64_t socket_cookie(int fd);

// Is a TCP socket in state CLOSE: fresh, or its connect failed, or its connection has ended?
// Looking at it changes nothing.
bool is_closed(int fd);

// What connect(2) says of a closed socket before it looks at the address. 0: it would connect;
// EISCONN, or the error of a connect that failed, which is thereby told and forgotten: the caller
// is to be given it.
int probe_connect(int fd, int domain);

}  // namespace sockswitch
