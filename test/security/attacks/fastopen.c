/* Sends that connect: MSG_FASTOPEN by every send call, and TCP_FASTOPEN_CONNECT. */
#define _GNU_SOURCE
#include "attack.h"

static long send_fast(int how, int fd, const struct address *to) {
  struct iovec part = {.iov_base = "x", .iov_len = 1};
  struct mmsghdr message = {.msg_hdr = {.msg_name = (void *)&to->raw, .msg_namelen = to->length, .msg_iov = &part, .msg_iovlen = 1}};
  int flags = MSG_FASTOPEN | MSG_NOSIGNAL;
  if (how == 0) return sendto(fd, "x", 1, flags, raw(to), to->length);
  if (how == 1) return sendmsg(fd, &message.msg_hdr, flags);
  return sendmmsg(fd, &message, 1, flags);
}

static int fresh(int family) { return socket(family, SOCK_STREAM, 0); }

static int disconnected(int family) {
  int fd = connected_socket(family, SOCK_STREAM);
  disconnect(fd);
  return fd;
}

int main(void) {
  int (*const makers[])(int) = {fresh, disconnected, refused_socket};
  int refusals = 0, sends = 0;
  for (int maker = 0; maker < 3; maker++) {
    for (int how = 0; how < 3; how++) {
      for (const char *const *spelling = LOOPBACKS; *spelling; spelling++) {
        struct address to = address(*spelling, LOOPBACK_PORT);
        int fd = makers[maker](raw(&to)->sa_family);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        long result = send_fast(how, fd, &to);
        sends++;
        /* Refusing fast-open as a kernel without it does (EOPNOTSUPP) is no difference that reaches anything. */
        if (result < 0 && errno == EOPNOTSUPP) refusals++;
        const char *said = greeting(fd);
        if (is_reached()) note("%d/%d/%s=%s", maker, how, *spelling, said);
        close(fd);
      }
      struct address host = address(setting("HOST4"), LOOPBACK_PORT);
      int fd = makers[maker](AF_INET);
      fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
      send_fast(how, fd, &host);
      greeting(fd);
      close(fd);
    }
    for (const char *const *spelling = LOOPBACKS; *spelling; spelling++) {
      struct address to = address(*spelling, LOOPBACK_PORT);
      int fd = makers[maker](raw(&to)->sa_family);
      int one = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof one);
      fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
      connect(fd, raw(&to), to.length);
      send(fd, "x", 1, MSG_NOSIGNAL);
      const char *said = greeting(fd);
      if (is_reached()) note("%d/option/%s=%s", maker, *spelling, said);
      close(fd);
    }
  }
  note("%d of %d fast-open sends refused", refusals, sends);
  return finish();
}
