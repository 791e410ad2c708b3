/* What a switched socket tells of interfaces must be what the container's own sockets tell. */
#define _GNU_SOURCE
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>

#include "attack.h"

#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif

static void view(int fd, char *text, size_t size) {
  struct ifreq found[32];
  struct ifconf list = {.ifc_len = sizeof found, .ifc_req = found};
  size_t used = 0;
  text[0] = 0;
  int status = ioctl(fd, SIOCGIFCONF, &list);
  used += (size_t)snprintf(text + used, size - used, "conf=%s ", outcome(status));
  for (int i = 0; status == 0 && i < list.ifc_len / (int)sizeof *found; i++) {
    used += (size_t)snprintf(text + used, size - used, "%s/%s ", found[i].ifr_name,
                             inet_ntoa(((struct sockaddr_in *)&found[i].ifr_addr)->sin_addr));
  }
  for (int index = 1; index < 12 && used < size - 200; index++) {
    struct ifreq request = {.ifr_ifindex = index};
    if (ioctl(fd, SIOCGIFNAME, &request) != 0) continue;
    used += (size_t)snprintf(text + used, size - used, "%d:%s ", index, request.ifr_name);
  }
  static const unsigned long asked[] = {SIOCGIFADDR, SIOCGIFNETMASK, SIOCGIFBRDADDR, SIOCGIFFLAGS, SIOCGIFMTU, SIOCGIFHWADDR,
                                        SIOCGIFINDEX, SIOCGIFTXQLEN, SIOCGIFMETRIC, SIOCGIFMAP, SIOCGIFDSTADDR};
  const char *const names[] = {"lo", "eth0", "tap0", "host1", "lan0"};
  for (int name = 0; name < 5; name++) {
    for (size_t i = 0; i < sizeof asked / sizeof *asked && used < size - 200; i++) {
      struct ifreq request;
      memset(&request, 0, sizeof request);
      snprintf(request.ifr_name, IFNAMSIZ, "%s", names[name]);
      int result = ioctl(fd, asked[i], &request);
      used += (size_t)snprintf(text + used, size - used, "%s ", outcome(result));
      if (result != 0) continue;
      for (int byte = 0; byte < 8; byte++)
        used += (size_t)snprintf(text + used, size - used, "%02x", (unsigned char)request.ifr_addr.sa_data[byte]);
      used += (size_t)snprintf(text + used, size - used, " ");
    }
  }
}

int main(void) {
  static char own[16384], other[16384];
  for (int family = AF_INET; family == AF_INET || family == AF_INET6; family += AF_INET6 - AF_INET) {
    for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
      int fresh = socket(family, type, 0);
      int fd = connected_socket(family, type);
      if (fd < 0) continue;
      view(fresh, own, sizeof own);
      view(fd, other, sizeof other);
      /* Refusing is no leak. */
      if (strcmp(own, other) != 0 && strstr(other, "conf=ok")) reached(), note("%.200s / %.200s", own, other);
      int netns = ioctl(fd, SIOCGSKNS);
      if (netns >= 0) note("SIOCGSKNS gives a namespace");
      close(fresh);
      close(fd);
    }
  }
  return finish();
}
