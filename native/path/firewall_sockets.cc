#include "path/firewall_sockets.h"

#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/errno_error.h"

namespace sockswitch {
namespace {

using State = FirewallSockets::State;

// The kernel lacks the family, the protocol or the file.
bool not_there(int error) {
  return error == ENOENT || error == ENOPROTOOPT || error == EPROTONOSUPPORT ||
         error == EAFNOSUPPORT || error == ESOCKTNOSUPPORT;
}

void keep(FirewallSockets& sockets, FirewallSource source, UniqueFd fd) {
  if (fd) return sockets.set(source, State::kOpen, std::move(fd));
  sockets.set(source, not_there(errno) ? State::kNotThere : State::kUnknown);
}

void add_monitor(std::vector<UniqueFd>& monitors, int protocol, int group) {
  try {
    const int groups[] = {group};
    monitors.push_back(open_netlink(protocol, groups));
  } catch (const ErrnoError& error) {
    if (!not_there(error.error())) throw;
  }
}

}  // namespace

FirewallSockets FirewallSockets::take(const std::string& states, std::vector<UniqueFd> fds) {
  FirewallSockets sockets;
  auto fd = fds.begin();
  for (std::size_t i = 0; i < kFirewallSources && i < states.size(); ++i) {
    const auto source = static_cast<FirewallSource>(i);
    if (states[i] == static_cast<char>(State::kNotThere)) {
      sockets.set(source, State::kNotThere);
    } else if (states[i] == static_cast<char>(State::kOpen) && fd != fds.end()) {
      sockets.set(source, State::kOpen, std::move(*fd++));
    }
  }
  return sockets;
}

std::string FirewallSockets::states() const {
  std::string letters;
  for (const Entry& entry : entries_) letters += static_cast<char>(entry.state);
  return letters;
}

std::vector<int> FirewallSockets::fds() const {
  std::vector<int> numbers;
  for (const Entry& entry : entries_) {
    if (entry.state == State::kOpen) numbers.push_back(entry.socket.fd());
  }
  return numbers;
}

void FirewallSockets::set(FirewallSource source, State state, UniqueFd fd) {
  Entry& entry = entries_[static_cast<std::size_t>(source)];
  entry.state = state;
  entry.socket = NetlinkSocket(std::move(fd));
}

FirewallSockets open_firewall_sockets() {
  FirewallSockets sockets;
  auto make = [&](FirewallSource source, int domain, int type, int protocol) {
    keep(sockets, source, UniqueFd(::socket(domain, type | SOCK_CLOEXEC, protocol)));
  };
  auto open = [&](FirewallSource source, const char* path) {
    keep(sockets, source, UniqueFd(::open(path, O_RDONLY | O_CLOEXEC)));
  };
  make(FirewallSource::kNftables, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
  make(FirewallSource::kXfrm, AF_NETLINK, SOCK_RAW, NETLINK_XFRM);
  make(FirewallSource::kGeneric, AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
  make(FirewallSource::kRoute, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  // Any socket of the family will do; a raw one would need CAP_NET_RAW.
  make(FirewallSource::kSocketV4, AF_INET, SOCK_DGRAM, 0);
  make(FirewallSource::kSocketV6, AF_INET6, SOCK_DGRAM, 0);
  open(FirewallSource::kTableNamesV4, "/proc/self/net/ip_tables_names");
  open(FirewallSource::kTableNamesV6, "/proc/self/net/ip6_tables_names");
  open(FirewallSource::kTableNamesArp, "/proc/self/net/arp_tables_names");
  return sockets;
}

std::vector<UniqueFd> open_firewall_monitors() {
  std::vector<UniqueFd> monitors;
  add_monitor(monitors, NETLINK_NETFILTER, NFNLGRP_NFTABLES);
  add_monitor(monitors, NETLINK_XFRM, XFRMNLGRP_POLICY);
  add_monitor(monitors, NETLINK_ROUTE, RTNLGRP_TC);
  return monitors;
}

}  // namespace sockswitch
