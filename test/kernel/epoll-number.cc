// An epoll set knows an entry by file and number; kcmp(2) with KCMP_EPOLL_TFD (Linux 4.13) asks for
// one; and a file can be added under any number that it is given for a moment. Rests on it:
// native/switch/epoll_set.h.
#include <linux/kcmp.h>
#include <sys/epoll.h>

#include "support.h"

static long compare(int fd, int epoll, int number) {
  kcmp_epoll_slot slot{static_cast<std::uint32_t>(epoll), static_cast<std::uint32_t>(number), 0};
  return ::syscall(SYS_kcmp, ::getpid(), ::getpid(), KCMP_EPOLL_TFD, fd, &slot);
}

int main() {
  int set = ::epoll_create1(0);
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) cannot("socketpair");
  constexpr int kNumber = 100;
  ::dup2(pair[0], kNumber);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = 0x1234}};
  expect(::epoll_ctl(set, EPOLL_CTL_ADD, kNumber, &event) == 0, "added under a borrowed number");
  ::close(kNumber);
  expect(compare(pair[0], set, kNumber) == 0, "kcmp finds the file under that number");
  expect(compare(pair[1], set, kNumber) > 0, "and not another file");
  expect(compare(pair[0], set, kNumber + 1) < 0 && errno == ENOENT, "nor under another number");
  expect(compare(pair[0], pair[1], kNumber) < 0 && errno == EINVAL, "nor in what is no epoll set");
  ::write(pair[1], "x", 1);
  epoll_event got{};
  expect(::epoll_wait(set, &got, 1, 0) == 1 && got.data.u64 == 0x1234,
         "events come, although the number is free again");
  return finish();
}
