/* The host's own addresses, its gateway, and the addresses by which networks lead to the host: whatever they answer, they
 * must answer it with acceleration too. A service that listens on loopback only must not answer by any. */
#include "attack.h"

int main(void) {
  const char *const places[] = {setting("HOST4"), setting("HOST6"), "10.0.2.2", "10.0.2.3", "169.254.1.1",
                                "169.254.1.2",    "fd00::2",        "fd00::3",  NULL};
  for (const char *const *place = places; *place; place++) {
    for (int port = LOOPBACK_PORT; port <= LAN_PORT; port++) {
      struct address to = address(*place, port);
      for (int blocking = 0; blocking <= 1; blocking++) {
        int fd = socket(raw(&to)->sa_family, SOCK_STREAM, 0);
        detail("%s:%d=%s", *place, port, try_connect(fd, &to, blocking));
        close(fd);
      }
    }
    struct address to = address(*place, LAN_PORT);
    int fd = socket(raw(&to)->sa_family, SOCK_DGRAM, 0);
    if (connect(fd, raw(&to), to.length) == 0) {
      send(fd, "token", 5, 0);
      detail("%s/udp=%s", *place, greeting(fd));
    }
    close(fd);
  }
  return finish();
}
