/* A connected UDP socket that sends elsewhere: plainly, with a choice of interface and source, in batches. */
#define _GNU_SOURCE
#include "attack.h"

static char token[64];

static void next_token(void) { random_token(token); }

static void seen(const char *what, const char *to) {
  usleep(5000); /* the witness is asked over the network: it has been long enough */
  if (strcmp(witness("datagram %s", token), "unseen") == 0) return;
  reached();
  note("%s to %s was seen", what, to);
}

/* With IP_PKTINFO or IPV6_PKTINFO: out of interface `index`, which is lo when it is 1. */
static long send_by(int fd, const struct address *to, int level, int index, bool batch) {
  char space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
  memset(space, 0, sizeof space);
  struct iovec part = {.iov_base = token, .iov_len = strlen(token)};
  struct mmsghdr message = {.msg_hdr = {.msg_name = (void *)&to->raw, .msg_namelen = to->length, .msg_iov = &part,
                                        .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space}};
  struct cmsghdr *control = CMSG_FIRSTHDR(&message.msg_hdr);
  control->cmsg_level = level;
  if (level == IPPROTO_IP) {
    control->cmsg_type = IP_PKTINFO;
    control->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    ((struct in_pktinfo *)CMSG_DATA(control))->ipi_ifindex = index;
  } else {
    control->cmsg_type = IPV6_PKTINFO;
    control->cmsg_len = CMSG_LEN(sizeof(struct in6_pktinfo));
    struct in6_pktinfo *info = (struct in6_pktinfo *)CMSG_DATA(control);
    info->ipi6_ifindex = (unsigned)index;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&to->raw;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) inet_pton(AF_INET6, "::ffff:0.0.0.0", &info->ipi6_addr);
  }
  return batch ? sendmmsg(fd, &message, 1, 0) : sendmsg(fd, &message.msg_hdr, 0);
}

int main(void) {
  for (const char *const *spelling = LOOPBACKS; *spelling; spelling++) {
    struct address to = address(*spelling, LOOPBACK_PORT);
    int family = raw(&to)->sa_family;
    for (int mapped = 0; mapped <= (family == AF_INET6); mapped++) {
      int fd = connected_socket(family, SOCK_DGRAM);
      if (mapped) { /* an IPv6 socket that talks IPv4 */
        char text[64];
        snprintf(text, sizeof text, "::ffff:%s", setting("REMOTE4"));
        struct address out = address(text, ECHO_PORT);
        connect(fd, raw(&out), out.length);
      }
      next_token();
      sendto(fd, token, strlen(token), 0, raw(&to), to.length);
      seen("plain", *spelling);
      for (int index = 1; index <= 2; index++) {
        for (int batch = 0; batch <= 1; batch++) {
          next_token();
          send_by(fd, &to, IPPROTO_IP, index, batch);
          seen("by IP_PKTINFO", *spelling);
          if (family != AF_INET6) continue;
          next_token();
          send_by(fd, &to, IPPROTO_IPV6, index, batch);
          seen("by IPV6_PKTINFO", *spelling);
        }
      }
      int lo = 1;
      setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &(struct ip_mreqn){.imr_ifindex = lo}, sizeof(struct ip_mreqn));
      setsockopt(fd, IPPROTO_IP, 50 /* IP_UNICAST_IF */, &(int){(int)htonl(1)}, sizeof(int));
      setsockopt(fd, IPPROTO_IPV6, 76 /* IPV6_UNICAST_IF */, &(int){(int)htonl(1)}, sizeof(int));
      next_token();
      sendto(fd, token, strlen(token), 0, raw(&to), to.length);
      seen("by IP_UNICAST_IF", *spelling);
      next_token();
      connect(fd, raw(&to), to.length);
      send(fd, token, strlen(token), 0);
      seen("connected again", *spelling);
      close(fd);
    }
  }
  return finish();
}
