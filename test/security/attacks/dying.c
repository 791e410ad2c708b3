/* dying COUNT: children that make trapped calls from several threads, each killed at a random moment. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/wait.h>

#include "attack.h"

static void *work(void *number) {
  unsigned turn = (unsigned)(uintptr_t)number;
  struct address places[] = {remote4(ECHO_PORT), address("127.0.0.1", 1), remote4(REFUSING_PORT), address(setting("SILENT4"), 1)};
  for (;; turn++) {
    int fd = socket(AF_INET, SOCK_STREAM | (turn & 4 ? SOCK_NONBLOCK : 0), 0);
    struct timeval patience = {.tv_usec = 1000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    connect(fd, raw(&places[turn % 4]), places[0].length);
    disconnect(fd);
    listen(fd, 1);
    close(fd);
  }
  return NULL;
}

int main(int argc, char **argv) {
  long count = argc > 1 ? atol(argv[1]) : 1000;
  for (long i = 0; i < count; i++) {
    pid_t child = fork();
    if (child == 0) {
      pthread_t threads[3];
      for (long t = 0; t < 3; t++) pthread_create(&threads[t], NULL, work, (void *)(t + i));
      work((void *)(i + 3));
    }
    uint16_t moment = 0;
    getrandom(&moment, sizeof moment, 0);
    usleep(moment % 12000);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
  }
  int fd = connected_socket(AF_INET, SOCK_STREAM);
  detail("afterwards=%s", fd >= 0 ? "ok" : strerrorname_np(errno));
  return finish();
}
