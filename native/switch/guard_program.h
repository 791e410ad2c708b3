// What a host socket may receive, as a socket filter: one program for each kind of socket that
// containers get, in the two languages that the kernel takes.
//
//   client      no SYN without ACK: it never accepts. Nothing that answers its own SYN from
//               127.0.0.0/8, which the pin alone keeps away with most settings of the host only
//               (test/kernel/device-pinning.cc), or, by the loopback device, from `own`, the host's
//               addresses on the device that it is pinned to: it never connects to the host itself.
//               (What a firewall of the host leads there under another address comes from that
//               one.)
//   pod client  the same, and nothing that answers its own SYN from an address that is not a public
//               one of IPv4 (base/public_address.h)
//   pod client  the same of IPv6
//   of IPv6
//   pod network the same, and nothing that answers its own SYN from outside one network of IPv4
//   neighbour   like client, but for what comes from `port`, the published one of a neighbour
//               (publish/neighbours.h)
//               All: of an IPv6 socket, which carries IPv4, too, no answer to its own SYN in the
//               family that the container's network does not carry
//   service     no SYN with ACK: it never connects. No SYN to another port than `port`, the
//               published one
//   service     the same, and no SYN from a loopback address, except from IPv4's with the port
//   anywhere    `port`, which is the relay's: the reservation of the published port keeps everybody
//               else from binding to it
//
// The kernel runs a listener's filter before it looks at the SYN (tcp_v4_rcv, tcp_v6_rcv), and what
// a listener accepts has its filter.
#pragma once

#include <linux/bpf.h>
#include <linux/filter.h>

#include <compare>
#include <cstdint>
#include <vector>

#include "base/address.h"
#include "protocol/guard_use.h"

namespace sockswitch {

struct GuardRole {
  GuardKind kind = GuardKind::kClient;
  std::uint16_t port = 0;
  std::vector<Address> own;
  GuardFamily family = GuardFamily::kBoth;
  Ipv4Block network{};

  auto operator<=>(const GuardRole&) const = default;
};

// With more addresses of its own, a client hears nothing by the loopback device.
inline constexpr std::size_t kMaxOwnAddresses = 16;

// For SO_ATTACH_FILTER.
std::vector<struct sock_filter> classic_guard(const GuardRole& role);
// For BPF_PROG_TYPE_SOCKET_FILTER and SO_ATTACH_BPF.
std::vector<struct bpf_insn> extended_guard(const GuardRole& role);

}  // namespace sockswitch
