#include "kernel/endpoint.h"

#include <sys/socket.h>

#include <cerrno>

namespace sockswitch {
namespace {

using NameCall = int (*)(int, sockaddr*, socklen_t*);

std::optional<Endpoint> endpoint(NameCall call, int fd) {
  sockaddr_storage raw{};
  socklen_t length = sizeof raw;
  if (call(fd, reinterpret_cast<sockaddr*>(&raw), &length) != 0) return {};
  auto name = destination_of(raw, length);
  if (!name) return {};
  return Endpoint{name->address, name->port};
}

}  // namespace

std::optional<Endpoint> own_endpoint(int fd) { return endpoint(::getsockname, fd); }

std::optional<Endpoint> peer_endpoint(int fd) { return endpoint(::getpeername, fd); }

int start_connect(int fd, const SocketName& to) {
  return ::connect(fd, to.get(), to.length) == 0 ? 0 : errno;
}

}  // namespace sockswitch
