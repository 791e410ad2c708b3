// The way of a container's own packet, followed hop by hop through what the kernel tells:
//
//   container's namespace --- tap -----------------------------------> fallback program --> host
//                         \-- veth --> bridge of the rootless user's shared namespace
//                                        (next hop: the bridge's own address) --- tap --> ... -->
//                                        host
//
//   1. routes and rules of the container's namespace, for this packet
//   2. the device that they name: held by a fallback program, or a veth into a namespace where one
//      serves the bridges; then the same question there
//   3. packet filters on the way
//   4. the fallback program's options
//   5. the host's own routes
//
// Whatever is unknown on that way ends it: the connection is left to the container. Nothing is
// remembered here; see NetworkView.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/ipv4_block.h"
#include "base/outcome.h"
#include "path/firewall.h"
#include "path/host_network.h"
#include "path/namespace.h"
#include "path/surroundings.h"

namespace sockswitch {

// Where packets to nowhere in particular go: an address for documentation (RFC 5737, RFC 3849).
const Address& nowhere(bool v4);

// Where the way ends. Only with Outcome::kSwitched does the rest say something.
struct Way {
  Outcome outcome = Outcome::kNoRoute;
  bool settled = true;            // false: the network is changing, so this must not be remembered
  int device = 0;                 // ifindex on the host to leave by
  std::optional<Address> source;  // the fallback program's: a host socket has to be bound to it
  // A packet filter of the container's own namespace may see the packet: only where the container
  // waives its firewall is it switched, and `translated` destinations are not even then.
  bool filtered = false;
  bool translated = false;
  std::string filter;  // which one, in words
};

// What the followers of one namespace share.
struct Ground {
  Namespace& inside;
  Surroundings& around;
  HostNetwork& host;
};

// `words`, where given, gets a sentence for each hop.
Way follow(const Ground& ground, const RoutedPacket& packet,
           std::vector<std::string>* words = nullptr);

// Whether packets of one family leave the namespace by a fallback program at all: the way of a
// packet to nowhere in particular, up to there. With outcome kSwitched they do; `filtered` says
// whether packet filters see them. `words` as above.
Way leads_out(const Ground& ground, bool v4, std::vector<std::string>* words = nullptr);

// Whether packets to all addresses of a block go the way of those to nowhere in particular, from
// the bridge or tap on: through the namespace of Podman's bridges, past the fallback program, which
// answers none of them itself, and by one device of the host, which has none of them. What the
// container's own namespace does with them is not looked at.
struct BlockWay {
  std::string obstacle;  // why that is not so, in words; empty: it is
  bool settled = true;   // false: the network is changing, so this must not be remembered
  int device = 0;        // ifindex on the host
};
BlockWay follow_block(const Ground& ground, const Ipv4Block& block);

// What in the namespace's routes and rules limits where its packets may go, in words ("10.99.0.0/16
// by 10.101.9.2, which is another container"); empty: nothing. Where only Podman can have made
// them, they are limits that the container is to keep, and a host socket would lead past them.
std::string restriction(const Ground& ground, bool& settled);

}  // namespace sockswitch
