/* UDP to every spelling of loopback and unspecified: unconnected, connected, and several sends of one socket. */
#include "attack.h"

static void send_to(const char *spelling, bool connected) {
  struct address to = address(spelling, LOOPBACK_PORT);
  int fd = socket(raw(&to)->sa_family, SOCK_DGRAM, 0);
  char token[64];
  random_token(token);
  size_t size = strlen(token);
  const char *result;
  if (connected) {
    result = outcome(connect(fd, raw(&to), to.length));
    send(fd, token, size, 0);
  } else {
    result = outcome(sendto(fd, token, size, 0, raw(&to), to.length));
  }
  detail("%s=%s", spelling, result);
  struct pollfd poll_for = {.fd = fd, .events = POLLIN};
  if (poll(&poll_for, 1, 100) > 0) detail("answer=%s", greeting(fd));
  const char *seen = witness("datagram %s", token);
  if (strcmp(seen, "unseen") != 0) {
    reached();
    detail("seen=%s", seen);
  }
  close(fd);
}

int main(void) {
  for (int connected = 0; connected <= 1; connected++)
    for (const char *const *spelling = LOOPBACKS; *spelling; spelling++) send_to(*spelling, connected);
  return finish();
}
