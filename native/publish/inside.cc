#include "publish/inside.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "publish/endpoint.h"
#include "publish/publication.h"

namespace sockswitch {

Address outside_address(int domain) {
  return *Address::parse(domain == AF_INET ? "192.0.2.1" : "2001:db8::1");
}

Address container_address(const SocketSource& source, int domain) {
  constexpr std::uint16_t kDiscard = 9;
  UniqueFd fd = source.open(domain, SOCK_DGRAM, IPPROTO_UDP);
  SocketName to = SocketName::of(domain, outside_address(domain), kDiscard);
  // Nothing is sent: connecting a datagram socket asks the routing table for the source address.
  if (::connect(fd.get(), to.get(), to.length) == 0) {
    if (auto own = own_endpoint(fd.get())) return own->first;
  }
  return *Address::parse(domain == AF_INET ? "127.0.0.1" : "::1");
}

}  // namespace sockswitch
