// Addresses of the host that a container's programs are shown, and bind to.
//
// The own end of a switched connection, and of one that a published service accepted, is the
// host's: getsockname(2) shows an address that the container does not have. A program that
// takes it for its own and binds another socket to it (passive FTP, FTP clients that bind the data
// connection, RTSP, SIP) would be refused with EADDRNOTAVAIL. Its socket is bound to the
// container's own address instead. The host has no part in that: nothing is bound in its namespace.
#pragma once

#include <optional>

#include "base/socket_name.h"
#include "notify/target.h"

namespace sockswitch {

// What a bind(2) of `target` to `asked` means, where that is an address of the host, and none of
// the container's: the container's address towards the outside, or the unspecified one where it has
// none of that family. No value for every other address, and in a container that gets no host
// sockets.
std::optional<Address> own_in_place_of(Context& context, const Target& target,
                                       const Destination& asked);

}  // namespace sockswitch
