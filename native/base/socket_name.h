// A socket address of either family, as the system calls take it.
#pragma once

#include <sys/socket.h>

#include <cstdint>

#include "base/address.h"

namespace sockswitch {

struct SocketName {
  sockaddr_storage raw{};
  socklen_t length = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&raw); }
  // `domain` AF_INET6 takes IPv4 addresses as v4-mapped ones.
  static SocketName of(int domain, const Address& address, std::uint16_t port);
  // The unspecified address.
  static SocketName any(int domain, std::uint16_t port);
};

}  // namespace sockswitch
