/* Memberships taken through switched sockets: the host's LAN must not see them. */
#include "attack.h"

int main(void) {
  const int types[] = {SOCK_DGRAM, SOCK_STREAM};
  for (int i = 0; i < 2; i++) {
    int fd = connected_socket(AF_INET, types[i]);
    struct ip_mreqn group = {.imr_multiaddr.s_addr = inet_addr("239.77.7.7")};
    detail("v4=%s", outcome(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group)));
    const char *seen = witness("group 239.77.7.7");
    if (strcmp(seen, "absent") != 0) reached(), note("v4 %s", seen);
    close(fd);
    fd = connected_socket(AF_INET6, types[i]);
    if (fd < 0) continue;
    struct ipv6_mreq group6 = {.ipv6mr_interface = 0};
    inet_pton(AF_INET6, "ff05::77:7", &group6.ipv6mr_multiaddr);
    detail("v6=%s", outcome(setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &group6, sizeof group6)));
    seen = witness("group ff05::77:7");
    if (strcmp(seen, "absent") != 0) reached(), note("v6 %s", seen);
    close(fd);
  }
  return finish();
}
