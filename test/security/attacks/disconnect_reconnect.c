/* Out, away from there, and to loopback with the same socket. */
#define _GNU_SOURCE
#include <pthread.h>

#include "attack.h"

static struct address moving;

static void *rewrite(void *unused) {
  usleep(200000);
  moving.raw.ss_family = AF_UNSPEC;
  return unused;
}

/* A blocking connect to a place that never answers; meanwhile the address becomes AF_UNSPEC. */
static int disconnected_while_waiting(void) {
  moving = address(setting("SILENT4"), LOOPBACK_PORT);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct timeval patience = {.tv_usec = 500000};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  pthread_t thread;
  pthread_create(&thread, NULL, rewrite, NULL);
  connect(fd, raw(&moving), moving.length);
  pthread_join(thread, NULL);
  connect(fd, raw(&moving), moving.length);
  return fd;
}

static int shut_down(int family) {
  int fd = connected_socket(family, SOCK_STREAM);
  shutdown(fd, SHUT_RDWR);
  struct pollfd poll_for = {.fd = fd, .events = POLLIN};
  poll(&poll_for, 1, 1000);
  return fd;
}

static int make(int how, int family) {
  int fd;
  switch (how) {
    case 0:
      fd = connected_socket(family, SOCK_STREAM);
      disconnect(fd);
      return fd;
    case 1:
      return shut_down(family);
    case 2:
      fd = shut_down(family);
      disconnect(fd);
      return fd;
    case 3:
      fd = connected_socket(family, SOCK_STREAM);
      disconnect(fd);
      disconnect(fd);
      return fd;
    default:
      return disconnected_while_waiting();
  }
}

int main(void) {
  for (const char *const *spelling = LOOPBACKS; *spelling; spelling++) {
    struct address to = address(*spelling, LOOPBACK_PORT);
    for (int how = 0; how < (*spelling == LOOPBACKS[1] ? 5 : 4); how++) {
      int fd = make(how, raw(&to)->sa_family);
      detail("%d/%s=%s", how, *spelling, try_connect(fd, &to, how & 1));
      close(fd);
    }
  }
  return finish();
}
