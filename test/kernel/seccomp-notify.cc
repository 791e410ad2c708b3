// User notification: the descriptor is put in place of another (ADDFD with SETFD, Linux 5.9), a
// caller's continued call sees what is there *then*, and one process tree has one listener. Rests
// on it: native/notify/, and the rule that listen(2) is never continued.
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstddef>
#include <thread>

#include "support.h"

static int install(int call) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter{4, program};
  return static_cast<int>(
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter));
}

int main() {
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) cannot("socketpair");
  int tcp = ::socket(AF_INET, SOCK_STREAM, 0);
  int listener = -1;
  int second = 0;
  int result = -1;
  std::thread caller([&] {
    listener = install(SYS_listen);
    second = install(SYS_bind);
    if (second < 0) second = -errno;
    // A socketpair cannot listen; a TCP socket can.
    result = ::listen(pair[0], 1) == 0 ? 0 : errno;
  });
  while (listener < 0) ::usleep(1000);
  seccomp_notif notification{};
  expect(::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notification) == 0, "listen(2) is reported");
  expect(second == -EBUSY, "a second listener in one tree is refused");
  std::uint64_t id = notification.id;
  expect(::ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0, "its id is valid");
  ::dup2(tcp, pair[0]);  // the race that an attacker has to win, won
  seccomp_notif_resp go_on{id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE};
  expect(::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &go_on) == 0, "it is continued");
  caller.join();
  expect(result == 0, "and executed with the descriptor of *then*: why listen is never continued");
  expect(::ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) != 0 && errno == ENOENT,
         "an answered id is ENOENT");
  return finish();
}
