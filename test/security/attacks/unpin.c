/* Socket options that could undo the pin of a host socket, or lead around it. */
#include "attack.h"

static void options(int fd) {
  int zero = 0, one = 1, seven = 7, lo = (int)htonl(1);
  note("device=%s", outcome(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0)));
  note("device-lo=%s", outcome(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3)));
  note("ifindex=%s", outcome(setsockopt(fd, SOL_SOCKET, 62, &zero, sizeof zero)));
  note("ifindex-lo=%s", outcome(setsockopt(fd, SOL_SOCKET, 62, &one, sizeof one)));
  note("mark=%s", outcome(setsockopt(fd, SOL_SOCKET, SO_MARK, &seven, sizeof seven)));
  note("transparent=%s", outcome(setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof one)));
  note("transparent6=%s", outcome(setsockopt(fd, IPPROTO_IPV6, 75, &one, sizeof one)));
  note("freebind=%s", outcome(setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof one)));
  note("unicast-if=%s", outcome(setsockopt(fd, IPPROTO_IP, 50, &lo, sizeof lo)));
  note("unicast-if6=%s", outcome(setsockopt(fd, IPPROTO_IPV6, 76, &lo, sizeof lo)));
  note("repair=%s", outcome(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &one, sizeof one)));
  note("force=%s", outcome(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &seven, sizeof seven)));
  note("addrform=%s", outcome(setsockopt(fd, IPPROTO_IPV6, IPV6_ADDRFORM, &(int){AF_INET}, sizeof(int))));
  unsigned char route[] = {131 /* LSRR */, 7, 4, 127, 0, 0, 1, 0};
  note("source-route=%s", outcome(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, route, sizeof route)));
}

int main(void) {
  for (int family = AF_INET; family == AF_INET || family == AF_INET6; family += AF_INET6 - AF_INET) {
    for (const char *const *spelling = LOOPBACKS; *spelling; spelling++) {
      struct address to = address(*spelling, LOOPBACK_PORT);
      if (raw(&to)->sa_family != family) continue;
      for (int order = 0; order < 4; order++) {
        int fd = order < 2 ? connected_socket(family, SOCK_STREAM) : refused_socket(family);
        if (fd < 0) continue;
        if (order == 1) disconnect(fd);
        options(fd);
        if (order == 0) disconnect(fd);
        note("%s=%s", *spelling, try_connect(fd, &to, order & 1));
        sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL | MSG_DONTWAIT, raw(&to), to.length);
        greeting(fd);
        close(fd);
      }
    }
  }
  /* An IPv6 socket connected to IPv4, turned into an IPv4 socket. */
  char text[64];
  snprintf(text, sizeof text, "::ffff:%s", setting("REMOTE4"));
  struct address out = address(text, ECHO_PORT), victim = address("127.0.0.1", LOOPBACK_PORT);
  int fd = socket(AF_INET6, SOCK_STREAM, 0);
  connect(fd, raw(&out), out.length);
  detail("addrform=%s", outcome(setsockopt(fd, IPPROTO_IPV6, IPV6_ADDRFORM, &(int){AF_INET}, sizeof(int))));
  detail("disconnect=%s", outcome(disconnect(fd)));
  detail("loopback=%s", try_connect(fd, &victim, false));
  close(fd);
  return finish();
}
