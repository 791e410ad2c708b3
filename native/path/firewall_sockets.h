// The descriptors over which one network namespace is asked for its packet filters. They are
// opened inside it (programs/netns.cc) and used from outside, by a process that has CAP_NET_ADMIN
// over the namespace's user namespace; the kernel checks both.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "kernel/netlink_message.h"

namespace sockswitch {

enum class FirewallSource : std::uint8_t {
  kNftables,       // NETLINK_NETFILTER
  kXfrm,           // NETLINK_XFRM
  kGeneric,        // NETLINK_GENERIC: IPVS
  kRoute,          // NETLINK_ROUTE: traffic control
  kSocketV4,       // AF_INET socket: legacy iptables and arptables
  kSocketV6,       // AF_INET6 socket: legacy ip6tables
  kTableNamesV4,   // /proc/self/net/ip_tables_names
  kTableNamesV6,   // /proc/self/net/ip6_tables_names
  kTableNamesArp,  // /proc/self/net/arp_tables_names
};
inline constexpr std::size_t kFirewallSources = 9;

class FirewallSockets {
 public:
  // Why a descriptor is missing.
  enum class State : char {
    kOpen = 'o',
    kNotThere = '-',  // the kernel lacks the family (ENOPROTOOPT, EPROTONOSUPPORT, ENOENT, ...)
    kUnknown = '?',   // any other reason; also of sources that nobody opened
  };

  // What open_firewall_sockets() made, as it comes out of a message: a letter for each source and
  // the descriptors of those that are open, in order. Sources that `states` does not reach, and
  // open ones without a descriptor, are unknown.
  static FirewallSockets take(const std::string& states, std::vector<UniqueFd> fds);
  // The other way round; `fds()` are borrowed.
  std::string states() const;
  std::vector<int> fds() const;

  State state(FirewallSource source) const { return at(source).state; }
  int fd(FirewallSource source) const { return at(source).socket.fd(); }
  // To ask with; of the first four sources.
  NetlinkSocket& netlink(FirewallSource source) {
    return entries_[static_cast<std::size_t>(source)].socket;
  }
  void set(FirewallSource source, State state, UniqueFd fd = {});

 private:
  struct Entry {
    State state = State::kUnknown;
    NetlinkSocket socket{UniqueFd()};  // owns the descriptor, whatever it is
  };
  const Entry& at(FirewallSource source) const {
    return entries_[static_cast<std::size_t>(source)];
  }
  std::array<Entry, kFirewallSources> entries_;
};

// In the calling thread's namespaces. Throws nothing: what fails is a state.
FirewallSockets open_firewall_sockets();

// Nonblocking netlink sockets in the calling thread's network namespace, one of which becomes
// readable after a change of nftables (NFNLGRP_NFTABLES), xfrm policies (XFRMNLGRP_POLICY) or
// traffic control (RTNLGRP_TC); read them empty with drain_monitor(). None for what the kernel
// lacks. Legacy xtables and IPVS report nothing. Throws ErrnoError.
std::vector<UniqueFd> open_firewall_monitors();

}  // namespace sockswitch
