/* Accepted sockets turned around: disconnected, and connected to loopback, outside, and loopback again. */
#include "attack.h"

static int accepted(void) {
  int server = socket(AF_INET, SOCK_STREAM, 0);
  struct address at = address("127.0.0.1", 0);
  bind(server, raw(&at), at.length);
  listen(server, 5);
  getsockname(server, (struct sockaddr *)&at.raw, &at.length);
  int client = socket(AF_INET, SOCK_STREAM, 0);
  connect(client, raw(&at), at.length);
  int fd = accept(server, NULL, NULL);
  close(server);
  return fd; /* the client stays open until exit */
}

int main(void) {
  struct address victim = address("127.0.0.1", LOOPBACK_PORT);
  struct address out = remote4(ECHO_PORT);
  int fd = accepted();
  detail("disconnect=%s", outcome(disconnect(fd)));
  detail("loopback=%s", try_connect(fd, &victim, false));
  close(fd);

  fd = accepted();
  disconnect(fd);
  detail("out=%s", try_connect(fd, &out, true));
  detail("loopback=%s", try_connect(fd, &victim, false));
  disconnect(fd);
  detail("loopback=%s", try_connect(fd, &victim, false));
  detail("out=%s", try_connect(fd, &out, false));
  close(fd);

  fd = accepted();
  disconnect(fd);
  try_connect(fd, &out, true);
  disconnect(fd);
  detail("listen=%s", outcome(listen(fd, 5)));
  detail("port=%s", look_at_port(fd, "tcp"));
  return finish();
}
