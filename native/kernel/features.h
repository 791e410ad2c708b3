// What the running kernel can do, found out by trying.
#pragma once

#include <string>

namespace sockswitch {

struct KernelFeatures {
  bool user_notif = false;     // seccomp user notification, 5.0
  bool addfd = false;          // SECCOMP_IOCTL_NOTIF_ADDFD, 5.9
  bool sync_wake_up = false;   // 6.6
  bool wait_killable = false;  // 5.19
  bool pidfd_thread = false;   // 6.9
  bool netns_cookie = false;   // 5.14
  bool kcmp = false;           // kcmp(2), 3.5; refused in containers without CAP_SYS_PTRACE
  // A filter of this very process has a listener already, and the kernel takes one in a chain: then
  // `user_notif` and all that needs it are false, whatever the kernel can do.
  bool listener_in_use = false;
  // Empty, or why a socket pinned to a device would not be kept from the host's loopback.
  std::string pinning_problem;
};

// Never throws. Filters are tried in a thread that ends, never on the calling one.
KernelFeatures probe_kernel();

}  // namespace sockswitch
