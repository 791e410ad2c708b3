// The sockets of the calling thread's network namespace, as the kernel lists them (sock_diag(7)).
// It answers anybody.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/address.h"

namespace sockswitch {

struct TcpSocket {
  std::uint64_t inode = 0;  // as in the link /proc/PID/fd/N: "socket:[INODE]"
  std::uint8_t state = 0;   // TCP_ESTABLISHED, ... (netinet/tcp.h)
  Destination local;
  Destination remote;
  // Of the connection so far, payload alone; zero where the kernel does not tell.
  std::uint64_t bytes_sent = 0;  // and acknowledged
  std::uint64_t bytes_received = 0;
  std::uint32_t round_trip_us = 0;  // smoothed
};

// Without those in LISTEN, CLOSE and TIME_WAIT, which no connected descriptor has. Throws
// ErrnoError.
std::vector<TcpSocket> list_tcp_sockets();

// SO_COOKIE of the socket at the `local` end of a connection, which is bound to `device` or to
// none. No value if there is no such connection. Throws ErrnoError.
std::optional<std::uint64_t> find_connection(const Destination& local, const Destination& remote,
                                             int device);

struct PortHolder {
  int domain = 0;  // AF_INET or AF_INET6
  Address address;
  int device = 0;  // ifindex that it is bound to; 0: none
  bool v6_only = false;
  std::uint32_t inode = 0;
  std::uint32_t uid = 0;
};

// TCP sockets that listen on `port`, or UDP sockets that are bound to it. `protocol`: IPPROTO_TCP
// or IPPROTO_UDP. Throws ErrnoError.
std::vector<PortHolder> find_port_holders(int protocol, std::uint16_t port);

}  // namespace sockswitch
