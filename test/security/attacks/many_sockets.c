/* many_sockets COUNT: as many connecting sockets as the limits allow, all kept; then one more connection must do. */
#define _GNU_SOURCE
#include <sys/resource.h>

#include "attack.h"

int main(int argc, char **argv) {
  long wanted = argc > 1 ? atol(argv[1]) : 100000, made = 0;
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  for (; made < wanted; made++) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) break;
    struct address to = address(setting("SILENT4"), 1 + (int)(made % 60000));
    connect(fd, raw(&to), to.length);
  }
  note("%ld sockets, %s", made, made < wanted ? strerrorname_np(errno) : "all wanted");
  close(3);
  int fd = connected_socket(AF_INET, SOCK_STREAM);
  detail("one-more=%s", fd >= 0 ? "ok" : strerrorname_np(errno));
  return finish();
}
