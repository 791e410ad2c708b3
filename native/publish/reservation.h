// The host's side of a published port: its reservation, and where a service's socket is put.
//
// Three kinds of sockets of the host have a published TCP port:
//
//   the reservation   made when the container is created, so that nobody else gets the port. Bound
//                     to no device. It listens while the service does, and takes what the next one
//                     does not: clients on loopback and on other devices, which the relay passes
//                     on.
//   the service's     takes the place of the container socket that is bound to the container port.
//                     Pinned to a device, as every socket of the host that a container holds
//                     (docs/threat-model.md). The kernel prefers it for what arrives there.
//   accepted ones     of either; the service's inherit the pin.
//
// The service's have SO_REUSEPORT and SO_REUSEADDR always. The reservation has them only while a
// socket is bound to its port or begins to listen on it (Sharing in publish/relay.h): without them
// nobody else can have the port, and the kernel does not take it for one of the service's. (Of the
// sockets that fit a packet and have SO_REUSEPORT it takes the first it finds, however well others
// fit: inet6_lhash2_lookup().)
//
// The reservation is an IPv6 socket wherever the host has IPv6, even for IPv4 addresses: for the
// kernel an IPv4 socket fits an IPv4 packet better than an IPv6 one, as well as a pinned one does.
// So it never is preferred to the service's.
#pragma once

#include <optional>
#include <vector>

#include "base/address.h"
#include "base/socket_name.h"
#include "base/unique_fd.h"
#include "path/routing.h"
#include "policy/publication.h"

namespace sockswitch {

// Binds the host's side of a mapping. Throws ErrnoError: EADDRINUSE, EACCES (a privileged port),
// EADDRNOTAVAIL (no such address here).
UniqueFd reserve(const Mapping& mapping);

// Where a service's socket is put: the device that it is pinned to, and an address by which the
// host itself reaches it there.
struct Outlet {
  int device = 0;
  Address address;
};

// For a listening socket of `domain`, with IPV6_V6ONLY or without. No value where there is none:
// the mapping is for loopback or another family, or the host has no default route.
std::optional<Outlet> find_outlet(const Mapping& mapping, int domain, bool v6_only,
                                  const std::vector<FoundRoute>& default_routes);

// The same for a socket that is pinned to `device`; no value while that has no such address.
std::optional<Outlet> outlet_on(int device, const Mapping& mapping, int domain, bool v6_only);

// The device that a service's socket should be pinned to instead of `device`, where that is not the
// right one (any more): the one that find_outlet() says, or, while there is none and `device` is
// down or has no address for the mapping, any other that is up and has one. The loopback device is
// the last resort, and for a socket with the guard for that only (`anywhere`).
struct BetterDevice {
  int device = 0;
  bool makeshift = false;  // any other
};
std::optional<BetterDevice> better_device(int device, const Mapping& mapping, int domain,
                                          bool v6_only, bool anywhere,
                                          const std::vector<FoundRoute>& default_routes);

// The default routes of the calling thread's own network namespace. Throws ErrnoError.
std::vector<FoundRoute> own_default_routes();

// The address that the service's socket is bound to.
SocketName service_name(const Mapping& mapping, int domain);

}  // namespace sockswitch
