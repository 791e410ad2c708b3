// sockswitch-guard: loads the socket filters that confine host sockets (switch/guard_program.h).
//
// Loading a program into the kernel takes CAP_BPF, attaching a loaded one to one's own socket takes
// nothing. So this is the one part of sockswitch that may be given a capability, by the
// administrator ("setcap cap_bpf=ep"), and it does nothing else: it answers questions
// (guard_protocol.h) until the daemon closes its end.
//
// Every user of the host may run it, so it gives nobody more than that:
//
//   what it loads     takes things away from sockets. The caller chooses its kind, a port, a
//                     device and, of one kind, a network; the addresses are those that the device
//                     has, in this process's network namespace. That one is the host's: a process
//                     in a user namespace of its own has its capabilities there only, and loading
//                     asks for them in the first one. So no caller has the kernel compile numbers
//                     of its choice, except for a port's 16 bits: they are not blinded for a holder
//                     of the capability (bpf_jit_harden=1). Of a network each bit is a test of its
//                     own, for which the program has the same constants whichever value the bit
//                     has: the caller chooses how many tests there are, and which of two jumps each
//                     ends with.
//   how much          The kernel does not hold a holder of the capability to
//                     net.core.bpf_jit_limit. So the same filter is attached to a socket of ours
//                     first, by a thread that has no capability in effect: where that is beyond the
//                     limit, it fails (CONFIG_BPF_JIT_ALWAYS_ON), and nothing is loaded. Besides,
//                     one process loads kMaxPrograms and ends: the next question starts another.
//   what it can do    Everything that it needs is opened at the start. Then it drops all
//                     capabilities except CAP_BPF, which is in effect while it loads only, and a
//                     seccomp filter leaves it the calls that answering takes.
//
// The same question for the same addresses is answered with the same program.
//
// Its end of the pair is descriptor 3 (kernel/helper.h), or 0 where a service manager starts it.
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "base/errno_error.h"
#include "kernel/device_addresses.h"
#include "kernel/netlink_message.h"
#include "kernel/unix_socket.h"
#include "protocol/guard_protocol.h"
#include "protocol/netns_protocol.h"
#include "switch/guard_program.h"

namespace sockswitch {
namespace {

constexpr std::size_t kMaxPrograms = 256;
constexpr rlim_t kMostDescriptors = kMaxPrograms + 16;
constexpr unsigned kCapBpf = 39;  // CAP_BPF, Linux 5.8

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the numbers of this architecture's system calls are not known"
#endif

// The process's capabilities: CAP_BPF, if it has that, and no other.
class Capabilities {
 public:
  Capabilities() {
    set(false);
    ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  }

  // In effect as long as this lives.
  class Raised {
   public:
    explicit Raised(const Capabilities& capabilities) : capabilities_(capabilities) {
      capabilities_.set(true);
    }
    ~Raised() { capabilities_.set(false); }
    Raised(const Raised&) = delete;
    Raised& operator=(const Raised&) = delete;

   private:
    const Capabilities& capabilities_;
  };

 private:
  using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

  // Lowering does not fail, and raising what is not permitted shows when the program is loaded.
  void set(bool effective) const {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    Sets sets{};
    if (::syscall(SYS_capget, &header, sets.data()) != 0) throw_errno("capget");
    for (std::size_t i = 0; i < sets.size(); ++i) {
      sets.at(i).permitted &= i == kCapBpf / 32 ? 1U << kCapBpf % 32 : 0;
      sets.at(i).effective = effective ? sets.at(i).permitted : 0;
      sets.at(i).inheritable = 0;
    }
    if (::syscall(SYS_capset, &header, sets.data()) != 0) throw_errno("capset");
  }
};

// Whether an ordinary user's filter would be compiled now.
class Canary {
 public:
  Canary() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    if (!socket_) throw_errno("socket", "AF_UNIX");
  }

  // Compiled as long as this lives. Throws ErrnoError: ENOBUFS.
  class Attached {
   public:
    Attached(const Canary& canary, const GuardRole& role) : socket_(canary.socket_.get()) {
      std::vector<struct sock_filter> program = classic_guard(role);
      struct sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
      if (::setsockopt(socket_, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0)
        throw ErrnoError(ENOBUFS, "setsockopt", "SO_ATTACH_FILTER");
    }
    ~Attached() {
      const int none = 0;
      ::setsockopt(socket_, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none);
    }
    Attached(const Attached&) = delete;
    Attached& operator=(const Attached&) = delete;

   private:
    int socket_;
  };

 private:
  UniqueFd socket_;
};

UniqueFd load(const GuardRole& role) {
  const std::vector<struct bpf_insn> program = extended_guard(role);
  union bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.insns = reinterpret_cast<std::uintptr_t>(program.data());
  attributes.insn_cnt = static_cast<std::uint32_t>(program.size());
  attributes.license = reinterpret_cast<std::uintptr_t>("Apache-2.0");
  std::strncpy(attributes.prog_name, "sockswitch", sizeof attributes.prog_name - 1);
  UniqueFd fd(static_cast<int>(::syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes)));
  if (!fd) throw_errno("bpf");
  return fd;
}

// A call, and where only some of its uses are allowed: what must be in the low half of which
// argument.
struct Allowed {
  long number = 0;
  int argument = -1;
  std::uint32_t forbidden_bits = 0;
  std::uint32_t value = 0;  // of the whole, where no bits are forbidden
};

// C++, libc's memory, the channel, the netlink socket, the canary, capabilities and loading.
constexpr std::array kAllowed = {
    Allowed{SYS_recvmsg},
    Allowed{SYS_sendmsg},
    Allowed{SYS_sendto},
    Allowed{SYS_recvfrom},
#ifdef SYS_poll
    Allowed{SYS_poll},
#endif
    Allowed{SYS_ppoll},
    Allowed{SYS_clock_gettime},
    Allowed{SYS_bpf, 0, 0, BPF_PROG_LOAD},
    Allowed{SYS_setsockopt, 1, 0, SOL_SOCKET},
    Allowed{SYS_capget},
    Allowed{SYS_capset},
    Allowed{SYS_close},
    Allowed{SYS_brk},
    Allowed{SYS_mmap, 2, PROT_EXEC},
    Allowed{SYS_munmap},
    Allowed{SYS_mremap},
    Allowed{SYS_madvise},
    Allowed{SYS_futex},
    Allowed{SYS_getrandom},
    Allowed{SYS_rt_sigreturn},
    Allowed{SYS_restart_syscall},
    Allowed{SYS_exit},
    Allowed{SYS_exit_group},
};

// Anything else ends the process.
void confine() {
  constexpr auto kLoad = BPF_LD | BPF_W | BPF_ABS;
  const auto argument = [](int index) {
    // The low half: both architectures are little-endian.
    return static_cast<std::uint32_t>(offsetof(struct seccomp_data, args) +
                                      sizeof(std::uint64_t) * static_cast<std::size_t>(index));
  };
  std::vector<struct sock_filter> filter = {
      BPF_STMT(kLoad, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  for (const Allowed& call : kAllowed) {
    filter.push_back(BPF_STMT(kLoad, offsetof(struct seccomp_data, nr)));
    const auto number = static_cast<std::uint32_t>(call.number);
    const bool checked = call.argument >= 0;
    filter.push_back(
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, static_cast<std::uint8_t>(checked ? 4 : 1)));
    if (checked) {
      filter.push_back(BPF_STMT(kLoad, argument(call.argument)));
      if (call.forbidden_bits != 0) {
        filter.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, call.forbidden_bits, 1, 0));
      } else {
        filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call.value, 0, 1));
      }
    }
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    if (checked) filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  struct sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) throw_errno("prctl", "PR_SET_NO_NEW_PRIVS");
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
    throw_errno("prctl", "PR_SET_SECCOMP");
}

void limit(int resource, rlim_t most) {
  const struct rlimit value{most, most};
  ::setrlimit(resource, &value);
}

class Guard {
 public:
  explicit Guard(int channel) : channel_(channel), addresses_(open_netlink(NETLINK_ROUTE)) {}

  // Until the other end is closed, or enough has been loaded. Throws ErrnoError.
  void run() {
    while (programs_.size() < kMaxPrograms) {
      Message question = receive_message(channel_, kMaxGuardMessage);
      if (question.end) return;
      answer(question.bytes);
    }
  }

 private:
  void answer(std::string_view question) {
    GuardUse use;
    if (const int error = decode_question(question, use)) return refuse(error, question);
    try {
      const int program = find(use);
      say({.version = guard_version(question)}, std::span(&program, 1));
    } catch (const ErrnoError& failure) {
      refuse(failure.error(), question);
    }
  }

  int find(const GuardUse& use) {
    GuardRole role{.kind = use.kind,
                   .port = use.port,
                   .own = {},
                   .family = use.family,
                   .network = use.network};
    if (use.kind != GuardKind::kService) role.own = addresses_.of(use.device, kMaxOwnAddresses + 1);
    // Those that are too many to be told apart are all alike.
    if (role.own.size() > kMaxOwnAddresses) role.own.assign(kMaxOwnAddresses + 1, Address{});
    auto found = programs_.find(role);
    if (found == programs_.end()) {
      const Canary::Attached canary(canary_, role);
      const Capabilities::Raised raised(capabilities_);
      found = programs_.emplace(role, load(role)).first;
    }
    return found->second.get();
  }

  // In the words of the version that asked.
  void refuse(int error, std::string_view question) {
    if (is_guard_message(question)) {
      // A later version than this guard's own gets the latest that it knows.
      const std::uint32_t asked = guard_version(question);
      const bool known = asked == kGuardVersion || asked == kGuardVersionOfNetworks;
      return say({.version = known ? asked : kGuardVersionOfNetworks, .error = error}, {});
    }
    struct iovec part{&error, sizeof error};
    send_message(channel_, std::span(&part, 1));
  }

  void say(GuardAnswer answer, std::span<const int> program) const {
    struct iovec part{&answer, sizeof answer};
    send_message(channel_, std::span(&part, 1), program);
  }

  int channel_;
  Capabilities capabilities_;
  Canary canary_;
  DeviceAddresses addresses_;
  std::map<GuardRole, UniqueFd> programs_;
};

}  // namespace
}  // namespace sockswitch

int main(int count, char** arguments) {
  using namespace sockswitch;
  const bool on_stdin = count == 2 && std::string_view(arguments[1]) == "--stdin";
  if (count > 1 && !on_stdin) {
    std::fputs("sockswitch-guard: the daemon starts it, with no argument or with --stdin\n",
               stderr);
    return 2;
  }
  const int channel = on_stdin ? STDIN_FILENO : kNetnsReplyFd;
  try {
    ::syscall(SYS_close_range, kNetnsReplyFd + 1, ~0U, 0);  // Linux 5.9
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    Guard guard(channel);
    limit(RLIMIT_NOFILE, kMostDescriptors);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    confine();
    guard.run();
    return 0;
  } catch (const ErrnoError&) {
    return 1;  // nobody is there to be told
  }
}
