#include "kernel/socket_label.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string_view>

#include "base/errno_error.h"
#include "base/unique_fd.h"

namespace sockswitch {
namespace {

constexpr const char* kAttribute = "/proc/thread-self/attr/sockcreate";

// An empty one is the default: SELinux takes a line feed for it (a write of nothing does nothing).
void set_label(std::string_view label) {
  UniqueFd file(::open(kAttribute, O_WRONLY | O_CLOEXEC));
  if (!file) throw_errno("open", kAttribute);
  const std::string_view text = label.empty() ? "\n" : label;
  if (::write(file.get(), text.data(), text.size()) < 0) throw_errno("write", kAttribute);
}

// The context may be one that this process must not make sockets of.
void try_socket(int domain, int type, int protocol) {
  if (!UniqueFd(::socket(domain, type | SOCK_CLOEXEC, protocol))) {
    throw_errno("socket", domain == AF_NETLINK ? "AF_NETLINK" : "AF_INET");
  }
}

}  // namespace

SocketLabel::SocketLabel(const std::string& label) {
  if (label.empty()) return;
  try {
    set_label(label);
    worn_ = true;
    try_socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    try_socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
  } catch (const ErrnoError& error) {
    obstacle_ = error.what();
    take_off();
  }
}

SocketLabel::~SocketLabel() { take_off(); }

void SocketLabel::take_off() noexcept {
  if (!worn_) return;
  worn_ = false;
  try {
    set_label({});
  } catch (const ErrnoError&) {
    return;  // it was to be had, so its end is: not seen yet
  }
}

}  // namespace sockswitch
