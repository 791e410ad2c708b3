// Which tunnels a network namespace has, as its own kernel tables say: links of kind vxlan, geneve
// and wireguard, and where they send to. Parsers and questions; no state.
//
// A vxlan device sends to its default remote and to the remotes of its forwarding entries, by the
// device's UDP port or the entry's own. A geneve device has one remote. A wireguard device has its
// peers' endpoints, which generic netlink lists; here only its presence is seen, since its port and
// peers may move at any time (docs/tunnels.md).
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
  Remote remote;
};
std::optional<ForwardingEntry> parse_forwarding_entry(const NetlinkMessage& message);

// The endpoint of each peer in an answer of generic netlink's "wireguard" family to
// WG_CMD_GET_DEVICE.
std::vector<Remote> parse_wireguard_peers(const NetlinkMessage& message);

struct Found {
  std::vector<TunnelDevice> devices;  // those that are up
  std::set<Remote> remotes;           // unicast ones, all devices together
  bool more_remotes = false;          // than `limit`
  std::string problem;                // why nothing is known; empty otherwise
};

// A socket that is told of changes in these groups (RTNLGRP_LINK, ...). Non-blocking. Throws
// ErrnoError.
UniqueFd open_monitor(SocketSource& source, std::initializer_list<int> groups);

// Asks a namespace's kernel. At most `limit` remotes are remembered. Never throws for what the
// kernel says.
Found discover(NetlinkSocket& socket, std::size_t limit);

// Whether a remote can be one at all: unicast, not loopback, not link-local, with a port.
bool can_be_remote(const Remote& remote);

}  // namespace sockswitch::tunnel
