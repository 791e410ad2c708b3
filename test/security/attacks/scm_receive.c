/* scm_receive [listen]: in an unaccelerated container; takes sockets on /shared/socket and turns them around, untrapped. Prints nothing; the outcome
 * goes to the sender. */
#define _GNU_SOURCE
#include <sys/un.h>

#include "attack.h"

static void turn_around(int number, int fd, bool to_listen) {
  int type = 0, domain = 0;
  socklen_t length = sizeof type;
  getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
  getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length);
  note("%d:disconnect=%s", number, outcome(disconnect(fd)));
  for (const char *const *spelling = LOOPBACKS; *spelling; spelling++) {
    struct address to = address(*spelling, LOOPBACK_PORT);
    if (raw(&to)->sa_family != domain) continue;
    if (type == SOCK_DGRAM) {
      connect(fd, raw(&to), to.length);
      send(fd, "x", 1, 0);
      greeting(fd);
    } else {
      note("%s=%s", *spelling, try_connect(fd, &to, false));
      sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL | MSG_DONTWAIT, raw(&to), to.length);
    }
    disconnect(fd);
  }
  if (type != SOCK_STREAM || !to_listen) return;
  int listening = listen(fd, 5);
  note("listen=%s", outcome(listening));
  if (listening == 0) note("port=%s", look_at_port(fd, "open"));
}

int main(int argc, char **argv) {
  (void)argv;
  struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/shared/socket"};
  unlink(at.sun_path);
  int server = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(server, (struct sockaddr *)&at, sizeof at) != 0 || listen(server, 1) != 0) return 2;
  int in = accept(server, NULL, NULL);
  int fds[6];
  char space[CMSG_SPACE(sizeof fds)], byte;
  struct iovec part = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  if (recvmsg(in, &message, 0) != 1) return 3;
  memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fds);
  for (int i = 0; i < 6; i++) turn_around(i, fds[i], argc > 1);
  dup2(in, STDOUT_FILENO);
  return finish();
}
