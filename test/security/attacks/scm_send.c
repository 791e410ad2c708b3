/* Gives host sockets to whoever listens on /shared/socket (scm_receive, in a container of its own), with the outcome it tells. */
#define _GNU_SOURCE
#include <sys/un.h>

#include "attack.h"

int main(void) {
  struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/shared/socket"};
  int out = socket(AF_UNIX, SOCK_STREAM, 0);
  for (int attempt = 0; connect(out, (struct sockaddr *)&at, sizeof at) != 0; attempt++) {
    if (attempt == 100) return 2;
    usleep(100000);
  }
  int fds[] = {connected_socket(AF_INET, SOCK_STREAM), refused_socket(AF_INET), connected_socket(AF_INET6, SOCK_STREAM),
               refused_socket(AF_INET6), connected_socket(AF_INET, SOCK_DGRAM), connected_socket(AF_INET, SOCK_STREAM)};
  char space[CMSG_SPACE(sizeof fds)];
  memset(space, 0, sizeof space);
  struct iovec part = {.iov_base = "x", .iov_len = 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  *rights = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fds), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(rights), fds, sizeof fds);
  if (sendmsg(out, &message, 0) != 1) return 3;
  char text[8192];
  ssize_t size, used = 0;
  while ((size = read(out, text + used, sizeof text - 1 - (size_t)used)) > 0) used += size;
  text[used] = 0;
  fputs(text, stdout);
  return 0;
}
