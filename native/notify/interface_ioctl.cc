// ioctl(2) with a request of the socket range: what they tell of interfaces must be the
// container's.
//
// The filter reports every request whose bits 12 to 15 are 8 (src/oci/seccomp-ioctl.ts); those
// about interfaces are 0x8910 to 0x89FF, and 0x8B00 to 0x8BFF (wireless).
//
//   about the socket itself (SIOCATMARK, ...)  the kernel's, on any descriptor
//   a known question about interfaces          asked here, on our copy of descriptor and structure;
//                                              for a host socket, of a socket of the container
//   any other request                          on a host socket EPERM, else the kernel's, as it
//                                              needs the caller's capabilities
//
// A host socket that was handed in (target.h) is dealt with like one of the container.
//
// Questions are not continued even for sockets of the container, because a second thread could have
// put a host socket at the number by the time that the kernel executes the call. For the requests
// of the last line that remains possible: those that change something fail on a host socket, and
// those that read tell hardware facts (SIOCETHTOOL, wireless), never addresses.
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "kernel/syscalls.h"
#include "notify/handlers.h"
#include "notify/target.h"

namespace sockswitch {
namespace {

// For 32-bit callers `struct ifreq` ends after 32 of its 40 bytes. Up to there it is the same, but
// for SIOCGIFMAP, which is refused to them.
constexpr std::size_t kSmallIfreq = 32;
static_assert(sizeof(struct ifreq) == 40);

constexpr std::size_t kMaxConfBytes = 1U << 20U;  // 26,000 addresses

struct Request {
  std::uint32_t number;
  std::uint64_t argument;
  bool small;  // a 32-bit caller
};

enum class Kind : std::uint8_t { kSocket, kIfreq, kArp, kConf, kOther };

Kind kind_of(std::uint32_t request) {
  switch (request) {
    case SIOCOUTQNSD:
    case abi::kSocketNetns:  // refused by the kernel without CAP_NET_ADMIN there
      return Kind::kSocket;
    case SIOCGIFNAME:
    case SIOCGIFFLAGS:
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
    case SIOCGIFBRDADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFMETRIC:
    case SIOCGIFMEM:
    case SIOCGIFMTU:
    case SIOCGIFENCAP:
    case SIOCGIFHWADDR:
    case SIOCGIFSLAVE:
    case SIOCGIFINDEX:
    case SIOCGIFPFLAGS:
    case SIOCGIFTXQLEN:
    case SIOCGIFMAP:
      return Kind::kIfreq;
    case SIOCGARP:
      return Kind::kArp;
    case SIOCGIFCONF:
      return Kind::kConf;
    default:
      break;
  }
  bool interfaces = (request >= SIOCGIFNAME && request <= 0x89FF) || request >> 8U == 0x8B;
  return interfaces ? Kind::kOther : Kind::kSocket;
}

// The functions below return 0 or the errno of the call.

int copy_out(const Context& context, const abi::SeccompNotif& notification, std::uint64_t address,
             const void* from, std::size_t size) {
  // The memory is the caller's only as long as it waits.
  if (!context.notify.valid(notification.id)) return EINTR;
  return write_memory(static_cast<pid_t>(notification.pid), address, from, size) ? 0 : EFAULT;
}

template <typename Structure>
int ask(const Context& context, const abi::SeccompNotif& notification, const Request& request,
        int socket, std::size_t size) {
  Structure structure{};
  if (!read_memory(static_cast<pid_t>(notification.pid), request.argument, &structure, size)) {
    return EFAULT;
  }
  if (::ioctl(socket, request.number, &structure) != 0) return errno;
  return copy_out(context, notification, request.argument, &structure, size);
}

// SIOCGIFCONF: a length and a buffer to fill with `struct ifreq`s; without a buffer it tells how
// long it should be.
int ask_conf(const Context& context, const abi::SeccompNotif& notification, const Request& request,
             int socket) {
  auto pid = static_cast<pid_t>(notification.pid);
  std::int32_t length = 0;
  std::uint64_t buffer = 0;
  std::size_t pointer = request.small ? sizeof(std::uint32_t) : sizeof(std::uint64_t);
  if (!read_memory(pid, request.argument, &length, sizeof length) ||
      !read_memory(pid, request.argument + pointer, &buffer, pointer)) {
    return EFAULT;
  }
  std::size_t entry = request.small ? kSmallIfreq : sizeof(struct ifreq);
  std::size_t room = static_cast<std::size_t>(std::max(length, 0)) / entry * sizeof(struct ifreq);
  std::vector<char> entries(std::min(room, kMaxConfBytes));
  struct ifconf conf{};
  conf.ifc_len = static_cast<int>(entries.size());
  std::array<char, 1> none{};  // an empty buffer is not the same as none
  if (buffer != 0) conf.ifc_buf = entries.empty() ? none.data() : entries.data();
  if (::ioctl(socket, SIOCGIFCONF, &conf) != 0) return errno;
  std::size_t count = static_cast<std::size_t>(conf.ifc_len) / sizeof(struct ifreq);
  length = static_cast<std::int32_t>(count * entry);
  if (buffer != 0 && count != 0) {
    for (std::size_t i = 1; i < count; ++i) {
      std::memmove(entries.data() + i * entry, entries.data() + i * sizeof(struct ifreq), entry);
    }
    int error = copy_out(context, notification, buffer, entries.data(), count * entry);
    if (error != 0) return error;
  }
  return copy_out(context, notification, request.argument, &length, sizeof length);
}

int ask(const Context& context, const abi::SeccompNotif& notification, const Request& request,
        Kind kind, int socket) {
  if (kind == Kind::kConf) return ask_conf(context, notification, request, socket);
  if (kind == Kind::kArp) {
    return ask<struct arpreq>(context, notification, request, socket, sizeof(struct arpreq));
  }
  if (request.small && request.number == SIOCGIFMAP) return EPERM;
  std::size_t size = request.small ? kSmallIfreq : sizeof(struct ifreq);
  return ask<struct ifreq>(context, notification, request, socket, size);
}

// A socket of the container, or of the caller's pod, of the same domain; empty where there is none.
UniqueFd container_socket(const Context& context, pid_t caller, int domain) {
  if (!context.container.view) return {};
  if (const auto pod = pod_of_caller(context, caller)) {
    return pod->open_socket(context.host.helper, domain, SOCK_STREAM, 0);
  }
  return context.host.control.bring([&] {
    return UniqueFd(::fcntl(context.container.view->fresh_socket(domain), F_DUPFD_CLOEXEC, 0));
  });
}

bool is_socket(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

// Whether a socket may show the host's interfaces where the container should see its own.
bool is_ours_or_unknown(const Context& context, int socket) {
  auto netns = netns_cookie(socket);
  if (!netns) return true;
  if (*netns != context.host.network.cookie()) return false;
  int domain = int_option(socket, SOL_SOCKET, SO_DOMAIN).value_or(0);
  return (domain != AF_INET && domain != AF_INET6) || !is_handed_in(socket);
}

}  // namespace

Outcome handle_ioctl(Context& context, const abi::SeccompNotif& notification,
                     const CallArguments& arguments) {
  std::uint64_t id = notification.id;
  Request request{arguments.request, arguments.address, arguments.small};
  Kind kind = kind_of(request.number);
  if (kind == Kind::kSocket) return continue_call(context, id, Outcome::kHousekeeping);
  Fetched fetched = fetch(context, notification, arguments.fd);
  if (!fetched.socket) return answer(context, id, EBADF);
  // A device or a FUSE file could make this thread wait. None is known to have such a request.
  if (!is_socket(fetched.socket.get())) return answer(context, id, ENOTTY);
  UniqueFd socket = std::move(fetched.socket);
  if (is_ours_or_unknown(context, socket.get())) {
    if (kind == Kind::kOther) return answer(context, id, EPERM);
    const int domain = int_option(socket.get(), SOL_SOCKET, SO_DOMAIN).value_or(0);
    socket = container_socket(context, static_cast<pid_t>(notification.pid), domain);
    if (!still_waits(context, notification)) return Outcome::kCallerGone;
    if (!socket) return answer(context, id, EPERM);
  } else if (kind == Kind::kOther) {
    return continue_call(context, id, Outcome::kHousekeeping);
  }
  return answer(context, id, ask(context, notification, request, kind, socket.get()));
}

}  // namespace sockswitch
