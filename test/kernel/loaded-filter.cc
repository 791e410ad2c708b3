// A socket filter that is loaded may be attached to a TCP socket and locked there by a process that
// has no capability, also where SO_ATTACH_FILTER takes one (seen with 6.18); it sees SYNs before a
// listener does. Loading takes CAP_BPF. Rests on it: native/switch/socket_guard.h.
#include <grp.h>
#include <linux/bpf.h>
#include <sys/time.h>

#include "support.h"

// Takes nothing: its result, the bytes to keep, is 0.
static int load_filter() {
  bpf_insn program[2]{};
  program[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  program[1].code = BPF_JMP | BPF_EXIT;
  union bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.insns = reinterpret_cast<std::uintptr_t>(program);
  attributes.insn_cnt = 2;
  attributes.license = reinterpret_cast<std::uintptr_t>("Apache-2.0");
  return static_cast<int>(::syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes));
}

int main() {
  int filter = load_filter();
  if (filter < 0) cannot("BPF_PROG_LOAD, which takes CAP_BPF");
  constexpr uid_t kNobody = 65534;
  if (::getuid() == 0 && (::setgroups(0, nullptr) != 0 || ::setresuid(kNobody, kNobody, kNobody))) {
    cannot("setresuid");
  }
  int port = 0;
  int listener = listen_on("127.0.0.1", port);
  int client = ::socket(AF_INET, SOCK_STREAM, 0);
  expect(connect_to(client, v4("127.0.0.1", port)) == 0, "a listener without a filter is reached");

  expect(::setsockopt(listener, SOL_SOCKET, SO_ATTACH_BPF, &filter, sizeof filter) == 0,
         "a loaded filter is attached without a capability");
  int on = 1;
  expect(::setsockopt(listener, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on) == 0, "... and locked");
  expect(
      ::setsockopt(listener, SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof on) != 0 && errno == EPERM,
      "... and cannot be detached any more");
  expect(::setsockopt(listener, SOL_SOCKET, SO_ATTACH_BPF, &filter, sizeof filter) != 0 &&
             errno == EPERM,
         "... nor replaced");

  int late = ::socket(AF_INET, SOCK_STREAM, 0);
  timeval patience{0, 300'000};
  ::setsockopt(late, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  expect(connect_to(late, v4("127.0.0.1", port)) == EINPROGRESS, "it takes the listener its SYNs");
  return finish();
}
