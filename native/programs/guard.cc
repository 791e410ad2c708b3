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
#include <linux/bpf.h>
#include <linux/filter.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "base/errno_error.h"
#include "kernel/confinement.h"
#include "kernel/device_addresses.h"
#include "kernel/netlink_message.h"
#include "kernel/unix_socket.h"
#include "protocol/guard_protocol.h"
#include "switch/guard_program.h"

namespace sockswitch {
namespace {

constexpr std::size_t kMaxPrograms = 256;
constexpr rlim_t kMostDescriptors = kMaxPrograms + 16;

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

// The channel, the netlink socket, the canary, and loading.
constexpr std::array kAllowed = {
    AllowedCall{SYS_recvmsg},
    AllowedCall{SYS_sendmsg},
    AllowedCall{SYS_sendto},
    AllowedCall{SYS_recvfrom},
#ifdef SYS_poll
    AllowedCall{SYS_poll},
#endif
    AllowedCall{SYS_ppoll},
    AllowedCall{SYS_bpf, 0, 0, BPF_PROG_LOAD},
    AllowedCall{SYS_setsockopt, 1, 0, SOL_SOCKET},
};

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
    if (!is_service(use.kind)) role.own = addresses_.of(use.device, kMaxOwnAddresses + 1);
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
  Capabilities capabilities_{kCapBpf};
  Canary canary_;
  DeviceAddresses addresses_;
  std::map<GuardRole, UniqueFd> programs_;
};

}  // namespace
}  // namespace sockswitch

int main(int count, char** arguments) {
  using namespace sockswitch;
  return serve_confined<Guard>(count, arguments, kAllowed, kMostDescriptors);
}
