#include "base/socket_name.h"

#include <netinet/in.h>

#include <cstring>

namespace sockswitch {
namespace {

const Address kAny4 = Address::from_v4(in_addr{INADDR_ANY});
const Address kAny6{};

}  // namespace

SocketName SocketName::of(int domain, const Address& address, std::uint16_t port) {
  SocketName name;
  if (domain == AF_INET) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(name.raw);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    v4.sin_addr.s_addr = htonl(address.v4());
    name.length = sizeof v4;
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(name.raw);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&v6.sin6_addr, address.bytes.data(), sizeof v6.sin6_addr);
    name.length = sizeof v6;
  }
  return name;
}

SocketName SocketName::any(int domain, std::uint16_t port) {
  return of(domain, domain == AF_INET ? kAny4 : kAny6, port);
}

}  // namespace sockswitch
