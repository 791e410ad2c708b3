// Which tunnels a network namespace has, as its own kernel tables say: links of kind vxlan, geneve
// and wireguard, and where they send to. Parsers and questions; no state.
//
// A vxlan device sends to its default remote and to the remotes of its forwarding entries, by the
// device's UDP port or the entry's own. A geneve device has one remote. A wireguard device has its
// peers' endpoints, each with a port of its own; generic netlink lists them, and nobody is told
// when one moves.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/address.h"
#include "kernel/netlink_message.h"
#include "kernel/netns.h"

namespace sockswitch::tunnel {

enum class Kind : std::uint8_t { kVxlan, kGeneve, kWireguard };
const char* kind_name(Kind kind);

struct TunnelDevice {
  int index = 0;
  std::string name;
  Kind kind = Kind::kVxlan;
  std::uint16_t port = 0;         // where it listens, and sends to unless a remote says otherwise
  std::optional<Address> remote;  // the default one
  int outside = 0;                // the interface that leads to it; 0: what the routing table says
  bool up = false;

  bool operator==(const TunnelDevice&) const = default;
};

struct Remote {
  Address address;
  std::uint16_t port = 0;
  auto operator<=>(const Remote&) const = default;
};

// RTM_NEWLINK; no value where it is no tunnel that we know.
std::optional<TunnelDevice> parse_device(const NetlinkMessage& message);

// RTM_NEWNEIGH of a bridge's or tunnel's forwarding database: the device that it belongs to, and
// the remote. The port is 0 where the entry has none of its own. No value for entries without one.
struct ForwardingEntry {
  int device = 0;
  int outside = 0;  // as above
  Remote remote;
};
std::optional<ForwardingEntry> parse_forwarding_entry(const NetlinkMessage& message);

// One message of the answer of generic netlink's "wireguard" family to WG_CMD_GET_DEVICE. A device
// with many peers takes several, of which the first one has the port.
struct WireguardPart {
  std::uint16_t port = 0;         // where it listens; 0: not in this message
  std::vector<Remote> endpoints;  // of the peers that have one
};
WireguardPart parse_wireguard(const NetlinkMessage& message);

struct Found {
  std::vector<TunnelDevice> devices;  // those that are up
  std::set<Remote> remotes;           // unicast ones, all devices together
  std::set<Remote> bound;             // those that no route of ours leads to: by one interface only
  bool more_remotes = false;          // than `limit`
  std::string problem;                // why nothing is known; empty otherwise
  std::string unseen;                 // why WireGuard's peers are not among them; empty otherwise
};

// A socket that is told of changes in these groups (RTNLGRP_LINK, ...). Non-blocking. Throws
// ErrnoError.
UniqueFd open_monitor(SocketSource& source, std::initializer_list<int> groups);

// Asks a namespace's kernel. At most `limit` remotes are remembered. `generic`: a NETLINK_GENERIC
// socket; null where WireGuard's ports and peers do not matter. Never throws for what the kernel
// says.
Found discover(NetlinkSocket& routes, NetlinkSocket* generic, std::size_t limit);

// Whether a remote can be one at all: unicast, not loopback, not link-local, with a port.
bool can_be_remote(const Remote& remote);

}  // namespace sockswitch::tunnel
