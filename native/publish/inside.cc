#include "publish/inside.h"

#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/errno_error.h"
#include "kernel/device_addresses.h"
#include "kernel/endpoint.h"
#include "kernel/netlink_message.h"
#include "publish/reservation.h"

namespace sockswitch {
namespace {

std::optional<Address> towards_outside(const InsideAddresses::OpenSocket& open, int domain) {
  constexpr std::uint16_t kDiscard = 9;
  UniqueFd fd = open(domain, SOCK_DGRAM, IPPROTO_UDP);
  SocketName to = SocketName::of(domain, outside_address(domain), kDiscard);
  // Nothing is sent: connecting a datagram socket asks the routing table for the source address.
  if (::connect(fd.get(), to.get(), to.length) != 0) return {};
  auto own = own_endpoint(fd.get());
  return own && may_be_seen(own->first) ? std::optional(own->first) : std::nullopt;
}

// A network that leads nowhere (internal) has addresses all the same.
std::optional<Address> of_an_interface(const InsideAddresses::OpenSocket& open, int domain) {
  NetlinkSocket routes(open(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  const NetlinkAnswer answer = ask_for_addresses(routes, domain);
  if (!answer.complete()) throw ErrnoError(answer.error(), "RTM_GETADDR", answer.reason());
  for (const DeviceAddress& one : read_addresses(answer)) {
    // IPv6 addresses cannot be used before they are known to be nobody else's.
    constexpr unsigned kUnusable = IFA_F_TENTATIVE | IFA_F_DADFAILED;
    if (one.domain != domain || (one.flags & kUnusable) != 0) continue;
    if (one.own && may_be_seen(*one.own)) return one.own;
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

std::optional<Address> InsideAddresses::find(const OpenSocket& open, const NetworkView& view,
                                             int domain) {
  Known& known = known_[domain == AF_INET ? 0 : 1];
  // Read before the kernel is asked: a change meanwhile makes the answer one generation too old.
  std::uint64_t generation = view.generation();
  if (known.generation == generation) return known.address;
  auto address = towards_outside(open, domain);
  if (!address) address = of_an_interface(open, domain);
  known = {.generation = generation, .address = address};
  return address;
}

}  // namespace sockswitch
