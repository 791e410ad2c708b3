/* Host ports: bind and listen on sockets that are or were host sockets. */
#include "attack.h"

static int connected(int family) { return connected_socket(family, SOCK_STREAM); }

static int disconnected(int family) {
  int fd = connected(family);
  disconnect(fd);
  return fd;
}

static int shut_down(int family) {
  int fd = connected(family);
  shutdown(fd, SHUT_RDWR);
  /* Until the other side has closed, too: how long that takes depends on the network. */
  for (int i = 0; i < 100; i++) {
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 || info.tcpi_state == TCP_CLOSE) break;
    usleep(10000);
  }
  return fd;
}

static int connecting(int family) { /* shut down in SYN_SENT: unconnected again */
  struct address to = address(family == AF_INET ? setting("SILENT4") : setting("SILENT6"), LOOPBACK_PORT);
  int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
  connect(fd, raw(&to), to.length);
  shutdown(fd, SHUT_RDWR);
  return fd;
}

static int port_of(const struct address *name) { return ntohs(((const struct sockaddr_in *)&name->raw)->sin_port); }

static const char *const PLACES[] = {"0.0.0.0", "127.0.0.1", "::", "::1", NULL};

int main(void) {
  int (*const makers[])(int) = {connected, disconnected, shut_down, connecting, refused_socket};
  for (int maker = 0; maker < 5; maker++) {
    for (int family = AF_INET; family == AF_INET || family == AF_INET6; family += AF_INET6 - AF_INET) {
      int fd = makers[maker](family);
      detail("%d:listen=%s", maker, outcome(listen(fd, 5)));
      if (maker > 0) detail("port=%s", look_at_port(fd, "tcp"));
      close(fd);
    }
    for (const char *const *place = PLACES; *place; place++) {
      struct address at = address(*place, some_port());
      int fd = makers[maker](raw(&at)->sa_family);
      int bound = bind(fd, raw(&at), at.length);
      detail("%d:bind-%s=%s", maker, *place, outcome(bound));
      if (bound == 0) detail("port=%s", look_at_port(fd, "tcp"));
      int listening = listen(fd, 5);
      if (maker == 2 || maker == 4) {
        /* The kernel refuses this after a non-blocking connect and after a connection's end; a switched socket is a fresh one by now. */
        note("listen after bind=%s", outcome(listening));
        detail("port=%s", look_at_port(fd, "tcp"));
      } else {
        detail("listen=%s", outcome(listening));
        if (listening == 0) detail("port=%s", look_at_port(fd, "tcp"));
      }
      close(fd);
    }
    /* The host's own address: a switched socket is bound to the container's instead (docs/threat-model.md). */
    struct address own = address(setting("HOST4"), some_port());
    int fd = makers[maker](AF_INET);
    int bound = bind(fd, raw(&own), own.length);
    note("%d:bind-host=%s", maker, outcome(bound));
    if (bound == 0) listen(fd, 5);
    detail("host-port=%s", witness("tcp %d", port_of(&own)));
    close(fd);
    /* Its loopback from there. */
    fd = makers[maker](AF_INET);
    own = address(setting("HOST4"), some_port());
    bind(fd, raw(&own), own.length);
    struct address victim = address("127.0.0.1", LOOPBACK_PORT);
    if (maker == 2) {
      note("connect after bind=%s", try_connect(fd, &victim, false));
    } else if (maker > 0) {
      detail("loopback=%s", try_connect(fd, &victim, false));
    }
    close(fd);
  }
  return finish();
}
