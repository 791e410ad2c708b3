#include "switch/accept_guard.h"

#include <linux/filter.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "kernel/unique_fd.h"

namespace sockswitch {
namespace {

// A TCP socket's filter sees the segment from the TCP header on (RFC 9293, section 3.1).
constexpr std::uint32_t kFlagsOffset = 13;
constexpr std::uint32_t kSyn = 0x02;
constexpr std::uint32_t kAck = 0x10;
constexpr std::uint32_t kWholeSegment = 0xFFFFFFFF;

}  // namespace

int attach_accept_guard(int fd) {
  std::array<struct sock_filter, 5> program{{
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kFlagsOffset),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, kSyn | kAck),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kSyn, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, kWholeSegment),
  }};
  struct sock_fprog filter{program.size(), program.data()};
  int on = 1;
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0 ||
      ::setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on) != 0) {
    return errno;
  }
  return 0;
}

bool accept_guard_available() {
  static const bool available = [] {
    UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return probe && attach_accept_guard(probe.get()) == 0;
  }();
  return available;
}

}  // namespace sockswitch
