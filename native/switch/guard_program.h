// What a host socket may receive, as a socket filter: one program for each kind of socket that
// containers get, in the two languages that the kernel takes.
//
//   client      no SYN without ACK: it never accepts. Nothing by the loopback device, by which all
//               of the host's own addresses are reached: its connections lead elsewhere.
//   neighbour   the same, but for what comes from one port by the loopback device: the published
//               port of a neighbour (publish/neighbours.h)
//   service     no SYN with ACK: it never connects. No SYN to another port than the published one
//
// The kernel runs a listener's filter before it looks at the SYN (tcp_v4_rcv, tcp_v6_rcv), and what
// a listener accepts has its filter.
#pragma once

#include <linux/bpf.h>
#include <linux/filter.h>

#include <compare>
#include <cstdint>
#include <vector>

namespace sockswitch {

struct GuardRole {
  enum class Kind : std::uint16_t { kClient, kNeighbour, kService };
  Kind kind = Kind::kClient;
  std::uint16_t port = 0;  // of a neighbour or a service

  static GuardRole neighbour(std::uint16_t port) { return {Kind::kNeighbour, port}; }
  static GuardRole service(std::uint16_t port) { return {Kind::kService, port}; }
  auto operator<=>(const GuardRole&) const = default;
};

// For SO_ATTACH_FILTER.
std::vector<struct sock_filter> classic_guard(const GuardRole& role);
// For BPF_PROG_TYPE_SOCKET_FILTER and SO_ATTACH_BPF.
std::vector<struct bpf_insn> extended_guard(const GuardRole& role);

}  // namespace sockswitch
