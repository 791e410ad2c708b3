// sockswitch-repin: pins a published service's socket to another device, where the host's network
// has moved (publish/pins.h).
//
// A socket that is pinned can be pinned elsewhere by a holder of CAP_NET_RAW only (socket(7),
// SO_BINDTODEVICE). So this program may be given that capability, by the administrator
// ("setcap cap_net_raw=ep"), and it does nothing else: it answers questions (repin_protocol.h)
// until its other end is closed.
//
// Every user of the host may run it, so it gives nobody more than what a socket that he makes now
// could be (any user may pin an unpinned one since Linux 5.7):
//
//   whose      the socket's owner is who runs it. A socket that a privileged process made, perhaps
//              for a port that takes a privilege, stays where that put it.
//   what       a TCP socket that listens, here in this process's network namespace, and is pinned.
//   where to   a device that is up. To a loopback device a socket only with a filter that is locked
//              (SO_LOCK_FILTER): those of sockswitch let it listen there and nothing else, whatever
//              its holder makes of it after it was looked at (switch/guard_program.h).
//   who not    whose new sockets are pinned from birth (a control group's program does that for
//              "ip vrf exec"): the pin is not his choice.
//
// Everything that it needs is opened at the start. Then it drops all capabilities except
// CAP_NET_RAW, which is in effect for the one call only, and a seccomp filter leaves it the calls
// that answering takes. It cannot make a socket any more.
//
// Its end of the pair is descriptor 3 (kernel/helper.h), or 0 where a service manager starts it.
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <span>
#include <string_view>

#include "base/errno_error.h"
#include "kernel/confinement.h"
#include "kernel/linux_abi.h"
#include "kernel/syscalls.h"
#include "kernel/unix_socket.h"
#include "protocol/repin_protocol.h"

namespace sockswitch {
namespace {

constexpr rlim_t kMostDescriptors = kMaxDescriptors + 16;

constexpr std::array kAllowed = {
    AllowedCall{SYS_recvmsg},
    AllowedCall{SYS_sendmsg},
#ifdef SYS_poll
    AllowedCall{SYS_poll},
#endif
    AllowedCall{SYS_ppoll},
    AllowedCall{SYS_getsockopt, 1, 0, SOL_SOCKET},
    AllowedCall{SYS_setsockopt, 2, 0, abi::kSoBindToIfindex},
    AllowedCall{SYS_ioctl, 1, 0, SIOCGIFNAME},
    AllowedCall{SYS_ioctl, 1, 0, SIOCGIFFLAGS},
    AllowedCall{SYS_ioctl, 1, 0, SIOCGIFINDEX},
    AllowedCall{SYS_fstat},
#ifdef SYS_newfstatat
    AllowedCall{SYS_newfstatat, 3, 0, AT_EMPTY_PATH},
#endif
    AllowedCall{SYS_getuid},
};

int option(int fd, int name) { return int_option(fd, SOL_SOCKET, name).value_or(-1); }

class Repin {
 public:
  explicit Repin(int channel)
      : channel_(channel), own_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (!own_) throw_errno("socket");
    const auto cookie = netns_cookie(own_.get());
    if (!cookie) throw_errno("getsockopt", "SO_NETNS_COOKIE");
    cookie_ = *cookie;
  }

  // Until the other end is closed. Throws ErrnoError.
  void run() const {
    for (;;) {
      const Message question = receive_message(channel_, kMaxRepinMessage);
      if (question.end) return;
      RepinAnswer answer{.error = answer_to(question)};
      struct iovec part{&answer, sizeof answer};
      send_message(channel_, std::span(&part, 1));
    }
  }

 private:
  // 0 or an errno.
  int answer_to(const Message& message) const {
    RepinQuestion question;
    if (message.truncated) return EINVAL;
    if (const int error = decode_repin(message.bytes, question)) return error;
    const bool only_asks = question.device == 0 && message.fds.empty();
    if (only_asks) return capabilities_.held() ? 0 : EPERM;
    if (question.device <= 0 || message.fds.size() != 1) return EINVAL;
    const int fd = message.fds.front().get();
    if (const int error = problem_of_socket(fd)) return error;
    if (const int error = problem_of_device(question.device, fd)) return error;
    const Capabilities::Raised raised(capabilities_);
    return ::setsockopt(fd, SOL_SOCKET, abi::kSoBindToIfindex, &question.device,
                        sizeof question.device) == 0
               ? 0
               : errno;
  }

  int problem_of_socket(int fd) const {
    struct stat status{};
    if (::fstat(fd, &status) != 0) return errno;
    if (!S_ISSOCK(status.st_mode)) return ENOTSOCK;
    if (status.st_uid != ::getuid()) return EACCES;
    const int domain = option(fd, SO_DOMAIN);
    if (domain != AF_INET && domain != AF_INET6) return EAFNOSUPPORT;
    if (option(fd, SO_PROTOCOL) != IPPROTO_TCP) return EPROTOTYPE;
    if (netns_cookie(fd) != cookie_) return EXDEV;
    if (option(fd, SO_ACCEPTCONN) != 1) return ENOTCONN;
    if (option(fd, abi::kSoBindToIfindex) <= 0) return EDESTADDRREQ;
    if (option(own_.get(), abi::kSoBindToIfindex) != 0) return EACCES;
    return 0;
  }

  int problem_of_device(int device, int fd) const {
    struct ifreq request{};
    request.ifr_ifindex = device;
    if (::ioctl(own_.get(), SIOCGIFNAME, &request) != 0) return errno;
    struct ifreq flags = request;
    if (::ioctl(own_.get(), SIOCGIFFLAGS, &flags) != 0) return errno;
    // A name can go to another device; an index is never used again.
    if (::ioctl(own_.get(), SIOCGIFINDEX, &request) != 0) return errno;
    if (request.ifr_ifindex != device) return EAGAIN;
    const bool loopback = (flags.ifr_flags & IFF_LOOPBACK) != 0;
    if (loopback && option(fd, SO_LOCK_FILTER) != 1) return EADDRNOTAVAIL;
    return (flags.ifr_flags & IFF_UP) == 0 ? ENETDOWN : 0;
  }

  int channel_;
  Capabilities capabilities_{CAP_NET_RAW};
  UniqueFd own_;
  std::uint64_t cookie_ = 0;
};

}  // namespace
}  // namespace sockswitch

int main(int count, char** arguments) {
  using namespace sockswitch;
  return serve_confined<Repin>(count, arguments, kAllowed, kMostDescriptors);
}
