// sockswitch-guard: loads the socket filters that confine host sockets (switch/guard_program.h).
//
// Loading a program into the kernel takes CAP_BPF, attaching a loaded one to one's own socket takes
// nothing. So this is the one part of sockswitch that may be given a capability, by the
// administrator ("setcap cap_bpf=ep"), and it does nothing else: it answers questions
// (guard_protocol.h) until the daemon closes its end. Whoever else starts it gets a filter that
// takes things away from sockets.
//
// Its end of the pair is descriptor 3 (kernel/helper.h), or 0 where a service manager starts it.
#include <linux/bpf.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "kernel/errno_error.h"
#include "kernel/unix_socket.h"
#include "programs/guard_protocol.h"
#include "programs/netns_protocol.h"

namespace sockswitch {
namespace {

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

void answer(int channel, const Message& question) {
  int error = 0;
  char done = 1;
  struct iovec part{&done, sizeof done};
  UniqueFd loaded;
  try {
    const auto role = decode_question(question.bytes);
    if (!role) throw ErrnoError(EINVAL, "receive");
    loaded = load(*role);
  } catch (const ErrnoError& failure) {
    error = failure.error();
    part = {&error, sizeof error};
  }
  const int fd = loaded.get();
  send_message(channel, std::span(&part, 1), std::span(&fd, error == 0 ? 1 : 0));
}

}  // namespace
}  // namespace sockswitch

int main(int count, char** arguments) {
  using namespace sockswitch;
  const bool on_stdin = count > 1 && std::string_view(arguments[1]) == "--stdin";
  const int channel = on_stdin ? STDIN_FILENO : kNetnsReplyFd;
  try {
    for (;;) {
      Message question = receive_message(channel, kMaxGuardQuestion);
      if (question.end) return 0;
      answer(channel, question);
    }
  } catch (const ErrnoError&) {
    return 1;  // nobody is there to be told
  }
}
