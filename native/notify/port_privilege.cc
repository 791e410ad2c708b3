#include "notify/port_privilege.h"

#include <linux/capability.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <charconv>

#include "base/errno_error.h"
#include "kernel/helper.h"
#include "kernel/linux_abi.h"
#include "kernel/task.h"

namespace sockswitch {
namespace {

// A container has one, and one more for each network namespace that it makes.
constexpr std::size_t kMaxKnown = 16;

unsigned read_number(int fd) {
  std::array<char, 16> text{};
  ssize_t size = ::pread(fd, text.data(), text.size(), 0);
  unsigned value = 0;
  if (size <= 0 || std::from_chars(text.data(), text.data() + size, value).ec != std::errc{}) {
    throw ErrnoError(EIO, "read", "ip_unprivileged_port_start");
  }
  return value;
}

}  // namespace

PortPrivilege::Namespace& PortPrivilege::find(int socket, std::uint64_t netns) {
  auto found = known_.find(netns);
  if (found != known_.end()) return found->second;
  UniqueFd net(::ioctl(socket, abi::kSocketNetns));
  if (!net) throw_errno("ioctl", "SIOCGSKNS");
  UniqueFd user(::ioctl(net.get(), abi::kNsGetUserns));
  if (!user) throw_errno("ioctl", "NS_GET_USERNS");
  const int namespaces[] = {user.get(), net.get()};
  Message answer = run_helper(helper_, namespaces, {"port-start"});
  if (answer.fds.size() != 1) {
    throw ErrnoError(helper_error(answer), "sockswitch-netns", "port-start");
  }
  if (known_.size() >= kMaxKnown) known_.clear();
  Namespace entry{std::move(user), std::move(answer.fds.front())};
  return known_.emplace(netns, std::move(entry)).first->second;
}

bool PortPrivilege::may_bind(pid_t tid, int socket, std::uint64_t netns, std::uint16_t port) {
  if (port == 0) return true;
  Namespace& known = find(socket, netns);
  return port >= read_number(known.port_start.get()) ||
         has_capability(tid, known.user.get(), CAP_NET_BIND_SERVICE);
}

}  // namespace sockswitch
