// What the packet filters of one network namespace could do to a packet.
//
// Theory of operation. A Firewall is a snapshot: everything that may filter, change or divert
// packets in a namespace is read with one call (nftables, legacy iptables, ip6tables and arptables,
// xfrm policies, traffic control, IPVS), each bounded in time and size. Then questions are answered
// from memory. They are:
//
//   obstacle()       is anything there at all that could see the packet or its replies? For a
//                    container's own namespace. Nothing is evaluated: a rule is a rule.
//   may_translate()  would the namespace's NAT rules send the packet somewhere else? For containers
//                    that waive their firewall (sockswitch/firewall=ignore).
//   forwarded()      would the packet pass the namespace? For the namespace of Podman's bridges,
//                    where netavark's rules are expected.
//
//   forwarding_obstacle(), translate()
//                    for a namespace that forwards what it did not send, and is nobody's of
//                    Podman's: a node's. Except for address translation a rule is a rule.
//
// All but obstacle() and forwarding_obstacle() evaluate rules with three truth values: yes, no and
// perhaps. What is not understood (a match, a set that is too large, an answer that did not come)
// is "perhaps", and perhaps counts against switching in each of them. Evaluation is bounded in
// steps, so rules that were made to be expensive are "perhaps", too.
//
// What is not seen: BPF programs at traffic control's links (tcx), XDP, sockets and cgroups, which
// no user namespace's root can load; and rules that only a privileged process of the host could
// make where the user has no CAP_NET_ADMIN. IPVS could not be tried on a real kernel: its messages
// are parsed as linux/ip_vs.h has them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "path/firewall_sockets.h"
#include "path/packet_facts.h"

namespace sockswitch {

struct Forwarded {
  enum class Verdict : std::uint8_t {
    kPasses,   // accepted, and masqueraded
    kBlocked,  // netavark's rules drop it, or do not masquerade it (--internal)
    kForeign,  // rules that are not netavark's could see it
    kUnknown,  // could not be told
  };
  Verdict verdict = Verdict::kUnknown;
  std::string words;  // what blocks, is foreign or unknown: "nftables: table inet filter, chain f"
};

// What address translation does with a packet that the namespace forwards.
struct Translated {
  bool passes = false;       // no rule surely drops it
  bool masqueraded = false;  // surely
  bool may_be_sent = false;  // ... to another destination
  bool is_sure = false;      // no rule of address translation may drop it
};

class Firewall {
 public:
  // Asks the kernel; takes at most about a second of the processor, commonly less than a
  // millisecond. Keeps nothing of `sockets`. Throws nothing that the kernel's answers cause: what
  // could not be read is unknown.
  static Firewall read(FirewallSockets& sockets);

  // A snapshot of nothing: no obstacles. For tests.
  Firewall();
  ~Firewall();
  Firewall(Firewall&&) noexcept;
  Firewall& operator=(Firewall&&) noexcept;

  // All are safe to call from several threads at once.

  // What could see the packet or its replies, in words ("nftables: table inet filter, chain
  // output", "iptables-legacy: table filter", "xfrm policies", "tc filter on eth0", "nftables
  // cannot be read: ..."); no value: nothing. Tables without rules and chains that accept are
  // nothing.
  std::optional<std::string> obstacle(const PacketFacts& packet) const;

  // Whether the namespace's own rules might send the packet, which the namespace itself sends,
  // elsewhere: destination NAT, transparent proxies, IPVS services; also whether they surely refuse
  // its very destination (a Kubernetes service without endpoints). Rules that filter otherwise do
  // not count.
  bool may_translate(const PacketFacts& packet) const;

  // What becomes of a packet that enters by `packet.in` and leaves by `packet.out`.
  Forwarded forwarded(const PacketFacts& packet) const;

  // What could see such a packet, its frames or its replies, except for address translation.
  std::optional<std::string> forwarding_obstacle(const PacketFacts& packet) const;
  // What address translation does to such a packet; PacketFacts::go_anywhere_in() may leave open
  // where it goes.
  Translated translate(const PacketFacts& packet) const;

  // As path/service_addresses.h has them; what could not be read is not there.
  std::vector<Address> service_addresses() const;

 private:
  struct Snapshot;
  std::unique_ptr<const Snapshot> snapshot_;
};

}  // namespace sockswitch
