#include "kernel/features.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <linux/kcmp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>

#include "base/errno_error.h"
#include "base/unique_fd.h"
#include "kernel/linux_abi.h"
#include "kernel/syscalls.h"

namespace sockswitch {
namespace {

// Installs a filter that allows everything, with a notification descriptor; -1 with errno. The
// filter stays with the calling thread for good.
UniqueFd install_harmless_filter(unsigned flags) {
  struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, abi::kRetAllow)};
  struct sock_fprog program{1, allow};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return {};
  return UniqueFd(static_cast<int>(
      ::syscall(SYS_seccomp, abi::kSetModeFilter, flags | abi::kFilterNewListener, &program)));
}

void probe_seccomp(KernelFeatures& features) {
  // A thread may have one notification descriptor; each flag is tried on a thread of its own.
  std::thread([&] {
    UniqueFd listener = install_harmless_filter(0);
    if (!listener) features.listener_in_use = errno == EBUSY;
    if (!listener) return;
    features.user_notif = true;
    // A notification that does not exist is ENOENT; an ioctl that does not exist is another error.
    abi::SeccompNotifAddfd add{};
    add.srcfd = static_cast<std::uint32_t>(listener.get());
    features.addfd = ::ioctl(listener.get(), abi::kNotifAddfd, &add) != 0 && errno == ENOENT;
    features.sync_wake_up =
        ::ioctl(listener.get(), abi::kNotifSetFlags, abi::kNotifSyncWakeUp) == 0;
  }).join();
  std::thread([&] {
    features.wait_killable = static_cast<bool>(install_harmless_filter(abi::kFilterWaitKillable));
  }).join();
}

// A device other than loopback that is up; 0 if there is none.
int any_device() {
  struct ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return 0;
  std::unique_ptr<struct ifaddrs, void (*)(struct ifaddrs*)> owner(list, ::freeifaddrs);
  for (const auto* entry = list; entry; entry = entry->ifa_next) {
    if ((entry->ifa_flags & IFF_UP) != 0 && (entry->ifa_flags & IFF_LOOPBACK) == 0) {
      return static_cast<int>(::if_nametoindex(entry->ifa_name));
    }
  }
  return 0;
}

// Connects a pinned socket to a listener on loopback, which must fail, with any error but a
// refusal: that would come from loopback itself.
std::string probe_pinning() {
  int device = any_device();
  if (device == 0) return {};  // nothing leaves this host, so nothing will be switched
  sockaddr_in loopback{};
  loopback.sin_family = AF_INET;
  loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof loopback;
  auto* address = reinterpret_cast<sockaddr*>(&loopback);
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  UniqueFd pinned(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!listener || !pinned || ::bind(listener.get(), address, length) != 0 ||
      ::listen(listener.get(), 1) != 0 || ::getsockname(listener.get(), address, &length) != 0) {
    return std::string("cannot listen on 127.0.0.1: ") + ::strerror(errno);
  }
  if (::setsockopt(pinned.get(), SOL_SOCKET, abi::kSoBindToIfindex, &device, sizeof device) != 0) {
    return std::string("SO_BINDTOIFINDEX: ") + ::strerror(errno);
  }
  if (::connect(pinned.get(), address, length) == 0 || errno == ECONNREFUSED) {
    return "a socket pinned to a device reached 127.0.0.1";
  }
  // In progress is what a SYN sent out of the device looks like: it must not have arrived here.
  ::fcntl(listener.get(), F_SETFL, O_NONBLOCK);
  if (UniqueFd(::accept(listener.get(), nullptr, nullptr))) {
    return "a socket pinned to a device reached 127.0.0.1";
  }
  return {};
}

}  // namespace

KernelFeatures probe_kernel() {
  KernelFeatures features;
  probe_seccomp(features);
  UniqueFd thread(pidfd_open(static_cast<pid_t>(::syscall(SYS_gettid)), abi::kPidfdThread));
  features.pidfd_thread = static_cast<bool>(thread);
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  features.netns_cookie = socket && netns_cookie(socket.get()).has_value();
  const pid_t self = ::getpid();
  features.kcmp = ::syscall(SYS_kcmp, self, self, KCMP_FILES, 0, 0) == 0;
  features.pinning_problem = probe_pinning();
  return features;
}

}  // namespace sockswitch
