// Reaching a service in its container, by sockets made in the container's network namespace.
//
// A client is seen with the container's own address, never with a loopback one: services trust
// loopback. Where the container has no other address nobody is relayed.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

#include "base/address.h"
#include "base/unique_fd.h"
#include "kernel/netns.h"
#include "path/network_view.h"

namespace sockswitch {

// An address outside, for which there is a route if there is a way out: one for documentation (RFC
// 5737, RFC 3849).
Address outside_address(int domain);

// Whether a service may be shown a client with this address: neither loopback, nor
// unspecified, nor IPv6's link-local, which means nothing without its link.
bool may_be_seen(const Address& address);

// A container's own addresses, asked for once and again when its network has changed. Used by one
// thread.
class InsideAddresses {
 public:
  // Makes a socket of (domain, type, protocol) in the container. May throw ErrnoError.
  using OpenSocket = std::function<UniqueFd(int, int, int)>;
  // Of this family: the one that it has towards the outside, or the first of its interfaces'. No
  // value if it has none that may be seen. Throws ErrnoError where it cannot be told.
  std::optional<Address> find(const OpenSocket& open, const NetworkView& view, int domain);
  std::optional<Address> find(SocketSource& source, const NetworkView& view, int domain) {
    return find(
        [&source](int of, int type, int protocol) { return source.open(of, type, protocol); }, view,
        domain);
  }

 private:
  struct Known {
    std::uint64_t generation = 0;  // of the view; 0: none
    std::optional<Address> address;
  };
  std::array<Known, 2> known_;
};

}  // namespace sockswitch
