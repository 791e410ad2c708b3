// Who may bind a port below net.ipv4.ip_unprivileged_port_start.
//
// The kernel asks this of the process that calls bind(2) (inet_bind() in net/ipv4/af_inet.c and its
// kin for IPv6 and SCTP). When this program binds for a container, it would always pass, because it
// owns the container's user namespace: so it asks first, for the caller.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <unordered_map>

#include "base/unique_fd.h"

namespace sockswitch {

// Used by one listener's thread.
class PortPrivilege {
 public:
  // `helper`: the path of sockswitch-netns.
  explicit PortPrivilege(std::string helper) : helper_(std::move(helper)) {}
  // `socket` is ours; `netns` is its SO_NETNS_COOKIE. Throws ErrnoError.
  bool may_bind(pid_t tid, int socket, std::uint64_t netns, std::uint16_t port);

 private:
  struct Namespace {
    UniqueFd user;        // the user namespace that owns it
    UniqueFd port_start;  // the sysctl's file, which shows the value of the moment
  };
  Namespace& find(int socket, std::uint64_t netns);

  std::string helper_;
  std::unordered_map<std::uint64_t, Namespace> known_;
};

}  // namespace sockswitch
