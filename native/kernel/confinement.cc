#include "kernel/confinement.h"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <string_view>
#include <vector>

#include "base/errno_error.h"
#include "protocol/netns_protocol.h"

namespace sockswitch {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the numbers of this architecture's system calls are not known"
#endif

using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

Sets read_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  Sets sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) throw_errno("capget");
  return sets;
}

constexpr std::array kRuntime = {
    AllowedCall{SYS_clock_gettime},
    AllowedCall{SYS_capget},
    AllowedCall{SYS_capset},
    AllowedCall{SYS_close},
    AllowedCall{SYS_brk},
    AllowedCall{SYS_mmap, 2, PROT_EXEC},
    AllowedCall{SYS_munmap},
    AllowedCall{SYS_mremap},
    AllowedCall{SYS_madvise},
    AllowedCall{SYS_futex},
    AllowedCall{SYS_getrandom},
    AllowedCall{SYS_rt_sigreturn},
    AllowedCall{SYS_restart_syscall},
    AllowedCall{SYS_exit},
    AllowedCall{SYS_exit_group},
};

void append(std::vector<struct sock_filter>& filter, const AllowedCall& call) {
  constexpr auto kLoad = BPF_LD | BPF_W | BPF_ABS;
  const bool checked = call.argument >= 0;
  filter.push_back(BPF_STMT(kLoad, offsetof(struct seccomp_data, nr)));
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call.number), 0,
                            static_cast<std::uint8_t>(checked ? 3 : 1)));
  if (checked) {
    // The low half: both architectures are little-endian.
    const auto at = offsetof(struct seccomp_data, args) +
                    sizeof(std::uint64_t) * static_cast<std::size_t>(call.argument);
    filter.push_back(BPF_STMT(kLoad, static_cast<std::uint32_t>(at)));
    if (call.forbidden_bits != 0) {
      filter.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, call.forbidden_bits, 1, 0));
    } else {
      filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call.value, 0, 1));
    }
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

void limit(__rlimit_resource_t resource, rlim_t most) {
  const struct rlimit value{most, most};
  ::setrlimit(resource, &value);
}

}  // namespace

Capabilities::Capabilities(std::initializer_list<unsigned> kept) {
  for (const unsigned number : kept) kept_.at(number / 32) |= 1U << number % 32;
  set(false);
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

bool Capabilities::held() const {
  const Sets sets = read_capabilities();
  for (std::size_t i = 0; i < sets.size(); ++i) {
    if ((sets.at(i).permitted & kept_.at(i)) != kept_.at(i)) return false;
  }
  return true;
}

// Lowering does not fail, and raising what is not permitted shows when it is used.
void Capabilities::set(bool effective) const {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  Sets sets = read_capabilities();
  for (std::size_t i = 0; i < sets.size(); ++i) {
    sets.at(i).permitted &= kept_.at(i);
    sets.at(i).effective = effective ? sets.at(i).permitted : 0;
    sets.at(i).inheritable = 0;
  }
  if (::syscall(SYS_capset, &header, sets.data()) != 0) throw_errno("capset");
}

void confine(std::span<const AllowedCall> calls) {
  constexpr auto kLoad = BPF_LD | BPF_W | BPF_ABS;
  std::vector<struct sock_filter> filter = {
      BPF_STMT(kLoad, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  for (const AllowedCall& call : calls) append(filter, call);
  for (const AllowedCall& call : kRuntime) append(filter, call);
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  struct sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) throw_errno("prctl", "PR_SET_NO_NEW_PRIVS");
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
    throw_errno("prctl", "PR_SET_SECCOMP");
}

std::optional<int> begin_confined(int count, char** arguments) {
  const bool on_stdin = count == 2 && std::string_view(arguments[1]) == "--stdin";
  if (count > 1 && !on_stdin) {
    std::fprintf(stderr, "%s: the daemon starts it, with no argument or with --stdin\n",
                 ::program_invocation_short_name);
    return {};
  }
  ::syscall(SYS_close_range, kNetnsReplyFd + 1, ~0U, 0);  // Linux 5.9
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  return on_stdin ? STDIN_FILENO : kNetnsReplyFd;
}

void limit_resources(rlim_t descriptors) {
  limit(RLIMIT_NOFILE, descriptors);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, 0);
}

}  // namespace sockswitch
