// TCP on this machine's loopback.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>

#include "base/unique_fd.h"
#include "check.h"

namespace sockswitch {

inline UniqueFd tcp(int domain = AF_INET, int flags = 0) {
  return UniqueFd(::socket(domain, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
}

// A socket that listens on a port of its own.
class Loopback {
 public:
  Loopback() : Loopback(tcp()) {}
  explicit Loopback(const char* address) : Loopback(tcp(), address) {}
  explicit Loopback(UniqueFd socket, const char* address = "127.0.0.1")
      : listener_(std::move(socket)) {
    address_.sin_family = AF_INET;
    CHECK_EQ(::inet_pton(AF_INET, address, &address_.sin_addr), 1);
    bind();
    CHECK_EQ(::listen(listener_.get(), 8), 0);
  }
  const sockaddr* name() const { return reinterpret_cast<const sockaddr*>(&address_); }
  std::uint16_t port() const { return ntohs(address_.sin_port); }
  // Of a blocking socket without SO_SNDTIMEO: 0 or the errno.
  int connect(const UniqueFd& socket) const {
    return ::connect(socket.get(), name(), sizeof address_) == 0 ? 0 : errno;
  }
  void close() { listener_.reset(); }

 private:
  void bind() {
    socklen_t length = sizeof address_;
    CHECK_EQ(::bind(listener_.get(), name(), length), 0);
    CHECK_EQ(::getsockname(listener_.get(), const_cast<sockaddr*>(name()), &length), 0);
  }

  UniqueFd listener_;
  sockaddr_in address_{};
};

}  // namespace sockswitch
