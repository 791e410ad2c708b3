/* New user and network namespaces: more rights over the container's things, none over the host's. */
#define _GNU_SOURCE
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "attack.h"

#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif

static void use(const char *what, int fd) {
  struct address victim = address("127.0.0.1", LOOPBACK_PORT);
  int zero = 0;
  note("%s:unpin=%s", what, outcome(setsockopt(fd, SOL_SOCKET, 62, &zero, sizeof zero)));
  int netns = ioctl(fd, SIOCGSKNS);
  note("netns=%s", outcome(netns));
  if (netns >= 0 && setns(netns, CLONE_NEWNET) == 0) {
    int inside = socket(AF_INET, SOCK_STREAM, 0);
    note("entered=%s", try_connect(inside, &victim, false));
  }
  disconnect(fd);
  note("loopback=%s", try_connect(fd, &victim, false));
}

int main(void) {
  int connected = connected_socket(AF_INET, SOCK_STREAM);
  int refused = refused_socket(AF_INET);
  int fresh = socket(AF_INET, SOCK_STREAM, 0);
  detail("userns=%s", outcome(unshare(CLONE_NEWUSER)));
  use("user namespace", connected_socket(AF_INET, SOCK_STREAM));
  int status = unshare(CLONE_NEWNET);
  detail("netns=%s", outcome(status));
  if (status == 0) {
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int own = socket(AF_INET, SOCK_STREAM, 0);
    ioctl(own, SIOCSIFFLAGS, &request);
    struct address out = remote4(ECHO_PORT);
    detail("out=%s", try_connect(own, &out, false)); /* no way out of the new namespace: must not be switched */
    close(own);
    for (const char *const *spelling = LOOPBACKS; *spelling; spelling++) {
      struct address to = address(*spelling, LOOPBACK_PORT);
      own = socket(raw(&to)->sa_family, SOCK_STREAM, 0);
      detail("%s=%s", *spelling, try_connect(own, &to, false));
      close(own);
    }
  }
  use("connected before", connected);
  use("refused before", refused);
  use("fresh before", fresh);
  return finish();
}
