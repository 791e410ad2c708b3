/* A refused connect leaves a socket that can be used again: for loopback, for bind and listen. */
#include "attack.h"

static int refused_blocking(int family) {
  struct address to = family == AF_INET ? remote4(REFUSING_PORT) : remote6(REFUSING_PORT);
  int fd = socket(family, SOCK_STREAM, 0);
  connect(fd, raw(&to), to.length);
  return fd;
}

int main(void) {
  int (*const makers[])(int) = {refused_socket, refused_blocking};
  for (int maker = 0; maker < 2; maker++) {
    for (const char *const *spelling = LOOPBACKS; *spelling; spelling++) {
      struct address to = address(*spelling, LOOPBACK_PORT);
      int fd = makers[maker](raw(&to)->sa_family);
      detail("%s=%s", *spelling, try_connect(fd, &to, maker));
      close(fd);
    }
    for (int family = AF_INET; family == AF_INET || family == AF_INET6; family += AF_INET6 - AF_INET) {
      int fd = makers[maker](family);
      detail("listen=%s", outcome(listen(fd, 5)));
      detail("port=%s", look_at_port(fd, "tcp"));
      close(fd);
      fd = makers[maker](family);
      struct address any = address(family == AF_INET ? "0.0.0.0" : "::", some_port());
      detail("bind=%s", outcome(bind(fd, raw(&any), any.length)));
      /* The kernel refuses this after a non-blocking connect; a switched socket is a fresh one by now. */
      note("listen after bind=%s", outcome(listen(fd, 5)));
      detail("port=%s", look_at_port(fd, "tcp"));
      close(fd);
    }
  }
  return finish();
}
