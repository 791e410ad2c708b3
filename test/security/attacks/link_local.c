/* Link-local, metadata, multicast and broadcast addresses, as addresses of connect. */
#include "attack.h"

int main(void) {
  const char *const places[] = {"169.254.169.254", "169.254.0.1", "::ffff:169.254.169.254", "224.0.0.1", "255.255.255.255",
                                "240.0.0.1",       "fe80::1",     "fe80::1%1",              "fe80::1%2", "fe80::1%3",
                                "ff02::1%2",       "fec0::1",     "fd00:ec2::254",          NULL};
  for (const char *const *place = places; *place; place++) {
    struct address to = address(*place, LOOPBACK_PORT);
    int fd = socket(raw(&to)->sa_family, SOCK_STREAM, 0);
    detail("%s=%s", *place, try_connect(fd, &to, false));
    close(fd);
  }
  return finish();
}
