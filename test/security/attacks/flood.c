/* flood SECONDS: many threads connect, bind and listen as fast as they can, to loopback and outside. Prints how often. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>

#include "attack.h"

enum { THREADS = 32 };
static atomic_long calls;
static atomic_bool ended;

static void *hammer(void *number) {
  unsigned turn = (unsigned)(uintptr_t)number;
  struct address places[] = {address("127.0.0.1", 1), remote4(REFUSING_PORT), address(setting("SILENT4"), 1), remote4(ECHO_PORT)};
  for (; !ended; turn++) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(fd, raw(&places[turn % 4]), places[0].length);
    if (turn % 5 == 0) disconnect(fd);
    listen(fd, 1);
    close(fd);
    calls++;
  }
  return NULL;
}

int main(int argc, char **argv) {
  pthread_t threads[THREADS];
  for (long i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, hammer, (void *)i);
  sleep(argc > 1 ? (unsigned)atoi(argv[1]) : 5);
  ended = true;
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  note("%ld rounds", calls);
  return finish();
}
