/* Odd address lengths, on fresh sockets and on host sockets. */
#include "attack.h"

static const unsigned LENGTHS[] = {0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 24, 27, 28, 29, 110, 128, 129, 0x7fffffff, 0x80000000u, 0xffffffffu};

static void each(const char *what, int (*make)(int), int family, int named, const char *text) {
  for (size_t i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++) {
    int fd = make(family);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    struct address to = address(text, LOOPBACK_PORT);
    if (named >= 0) to.raw.ss_family = (sa_family_t)named;
    int result = connect(fd, raw(&to), LENGTHS[i]);
    const char *said = outcome(result);
    if (result == 0 && named != AF_UNSPEC) said = greeting(fd);
    detail("%s/%u=%s", what, LENGTHS[i], said);
    close(fd);
  }
}

static int fresh(int family) { return socket(family, SOCK_STREAM, 0); }
static int connected(int family) { return connected_socket(family, SOCK_STREAM); }

int main(void) {
  each("fresh4", fresh, AF_INET, -1, "127.0.0.1");
  each("fresh6", fresh, AF_INET6, -1, "::1");
  each("fresh4-as-6", fresh, AF_INET, AF_INET6, "127.0.0.1");
  each("fresh6-as-4", fresh, AF_INET6, AF_INET, "::1");
  each("fresh-unspec", fresh, AF_INET, AF_UNSPEC, "127.0.0.1");
  each("host4", connected, AF_INET, -1, "127.0.0.1");
  each("host-unspec", connected, AF_INET, AF_UNSPEC, "127.0.0.1");
  each("host-unix", connected, AF_INET, AF_UNIX, "127.0.0.1");
  each("host-77", connected, AF_INET, 77, "127.0.0.1");
  each("refused4", refused_socket, AF_INET, -1, "127.0.0.1");
  each("refused-unspec", refused_socket, AF_INET, AF_UNSPEC, "127.0.0.1");
  struct sockaddr *nowhere = NULL;
  int fd = fresh(AF_INET);
  detail("null=%s", outcome(connect(fd, nowhere, 16)));
  detail("bad=%s", outcome(connect(fd, (struct sockaddr *)~0xfffUL, 16)));
  detail("badfd=%s", outcome(connect(-1, nowhere, 16)));
  return finish();
}
