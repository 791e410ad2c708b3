#include "publish/inside.h"

#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "kernel/errno_error.h"
#include "kernel/netlink_message.h"
#include "publish/endpoint.h"
#include "publish/publication.h"

namespace sockswitch {
namespace {

std::optional<Address> towards_outside(SocketSource& source, int domain) {
  constexpr std::uint16_t kDiscard = 9;
  UniqueFd fd = source.open(domain, SOCK_DGRAM, IPPROTO_UDP);
  SocketName to = SocketName::of(domain, outside_address(domain), kDiscard);
  // Nothing is sent: connecting a datagram socket asks the routing table for the source address.
  if (::connect(fd.get(), to.get(), to.length) != 0) return {};
  auto own = own_endpoint(fd.get());
  return own && may_be_seen(own->first) ? std::optional(own->first) : std::nullopt;
}

// A network that leads nowhere (internal) has addresses all the same.
std::optional<Address> of_an_interface(SocketSource& source, int domain) {
  NetlinkSocket routes(source.open(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  NetlinkRequest request(RTM_GETADDR, NLM_F_DUMP);
  request.header(ifaddrmsg{.ifa_family = static_cast<std::uint8_t>(domain),
                           .ifa_prefixlen = 0,
                           .ifa_flags = 0,
                           .ifa_scope = 0,
                           .ifa_index = 0});
  NetlinkAnswer answer = routes.ask(request);
  if (!answer.complete()) throw ErrnoError(answer.error(), "RTM_GETADDR", answer.reason());
  auto messages = answer.messages();
  for (NetlinkMessage message; messages.next(message);) {
    auto header = message.header<ifaddrmsg>();
    // IPv6 addresses cannot be used before they are known to be nobody else's.
    constexpr unsigned kUnusable = IFA_F_TENTATIVE | IFA_F_DADFAILED;
    if (!header || header->ifa_family != domain || (header->ifa_flags & kUnusable) != 0) continue;
    std::optional<Address> local;
    std::optional<Address> address;
    bool whole = walk_attributes(message.attributes(sizeof(ifaddrmsg)), [&](const auto& attribute) {
      if (attribute.type == IFA_LOCAL) local = attribute.address();
      if (attribute.type == IFA_ADDRESS) address = attribute.address();
    });
    // IFA_ADDRESS is the other end of a point-to-point link.
    auto own = local ? local : address;
    if (whole && own && may_be_seen(*own)) return own;
  }
  return {};
}

}  // namespace

Address outside_address(int domain) {
  return *Address::parse(domain == AF_INET ? "192.0.2.1" : "2001:db8::1");
}

bool may_be_seen(const Address& address) {
  return !is_loopback(address) && !is_link_local(address) && !is_unspecified(address);
}

std::optional<Address> InsideAddresses::find(SocketSource& source, const NetworkView& view,
                                             int domain) {
  Known& known = known_[domain == AF_INET ? 0 : 1];
  // Read before the kernel is asked: a change meanwhile makes the answer one generation too old.
  std::uint64_t generation = view.generation();
  if (known.generation == generation) return known.address;
  auto address = towards_outside(source, domain);
  if (!address) address = of_an_interface(source, domain);
  known = {.generation = generation, .address = address};
  return address;
}

}  // namespace sockswitch
