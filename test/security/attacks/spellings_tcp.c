/* TCP to every spelling of loopback and unspecified, from fresh sockets. */
#include "attack.h"

int main(void) {
  for (int blocking = 0; blocking <= 1; blocking++) {
    for (const char *const *spelling = LOOPBACKS; *spelling; spelling++) {
      struct address to = address(*spelling, LOOPBACK_PORT);
      int fd = socket(raw(&to)->sa_family, SOCK_STREAM, 0);
      detail("%s=%s", *spelling, try_connect(fd, &to, blocking));
      close(fd);
    }
  }
  return finish();
}
