/* The host's abstract Unix sockets belong to the host's network namespace. */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/un.h>

#include "attack.h"

int main(void) {
  const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
  const char *const names[] = {"sockswitch-victim", "sockswitch-victim-dgram", "sockswitch-victim-seqpacket"};
  for (int i = 0; i < 3; i++) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(names[i]));
    memcpy(at.sun_path + 1, names[i], strlen(names[i]));
    int fd = socket(AF_UNIX, types[i], 0);
    int result = connect(fd, (struct sockaddr *)&at, length);
    if (result == 0) reached();
    detail("%s", outcome(result));
    close(fd);
    fd = connected_socket(AF_INET, SOCK_STREAM);
    detail("on a switched socket: %s", outcome(connect(fd, (struct sockaddr *)&at, length)));
    close(fd);
  }
  return finish();
}
