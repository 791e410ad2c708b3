/* The same calls through the doors of 32-bit programs: int 0x80 with its own numbers and with socketcall, and x32. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/syscall.h>

#include "attack.h"

#ifdef __x86_64__
enum { I_CONNECT = 362, I_BIND = 361, I_LISTEN = 363, I_SENDTO = 369, I_SOCKETCALL = 102, X32 = 0x40000000 };

static long int80(long number, long a, long b, long c, long d, long e) {
  long result;
  /* The sixth argument is in ebp, which none of these calls but sendto has: it is left out. */
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory", "r8", "r9", "r10", "r11");
  return result;
}

static long socketcall(long call, uint32_t *words, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, uint32_t f) {
  const uint32_t values[] = {a, b, c, d, e, f};
  memcpy(words, values, sizeof values);
  return int80(I_SOCKETCALL, call, (long)words, 0, 0, 0);
}

static const char *name(long result) {
  if (result == -EINPROGRESS || result == -EALREADY) return "timeout"; /* of SO_SNDTIMEO */
  return result >= 0 ? "ok" : strerrorname_np((int)-result);
}

static int impatient(int fd) {
  struct timeval patience = {.tv_sec = 1};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  return fd;
}

static char *low; /* memory below 4 GiB */

static struct address *place(struct address value) {
  struct address *at = (struct address *)(low + 1024);
  *at = value;
  return at;
}

/* 0: int 0x80, 1: socketcall, 2: x32 */
static long call(int door, int what, int fd, struct address value, int length) {
  struct address *at = place(value);
  uint32_t where = (uint32_t)(uintptr_t)&at->raw;
  if (door == 0) return int80(what == 0 ? I_CONNECT : what == 1 ? I_BIND : I_LISTEN, fd, what == 2 ? length : (long)where, length, 0, 0);
  if (door == 1) {
    return socketcall(what == 0 ? 3 : what == 1 ? 2 : 4, (uint32_t *)low, (uint32_t)fd, what == 2 ? (uint32_t)length : where, (uint32_t)length, 0, 0, 0);
  }
  long number = (what == 0 ? SYS_connect : what == 1 ? SYS_bind : SYS_listen) | X32;
  long result = what == 2 ? syscall(number, fd, length) : syscall(number, fd, &at->raw, length);
  return result < 0 ? -errno : result;
}

/* Outcomes of x32 where the kernel has none are no detail: what the daemon answers itself needs no kernel. */
#define TELL(...) (door == 2 && !has_x32 ? note(__VA_ARGS__) : detail(__VA_ARGS__))

int main(void) {
  bool has_x32 = syscall(SYS_getpid | X32) > 0;
  low = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  struct address nowhere = {.length = 16};
  for (int door = 0; door < 3; door++) {
    for (const char *const *spelling = LOOPBACKS; *spelling; spelling++) {
      struct address to = address(*spelling, LOOPBACK_PORT);
      int fd = impatient(socket(raw(&to)->sa_family, SOCK_STREAM, 0));
      long result = call(door, 0, fd, to, (int)to.length);
      TELL("%d:fresh/%s=%s", door, *spelling, result == 0 ? greeting(fd) : name(result));
      close(fd);
      fd = impatient(connected_socket(raw(&to)->sa_family, SOCK_STREAM));
      if (fd < 0) continue;
      TELL("disconnect=%s", name(call(door, 0, fd, nowhere, 16)));
      result = call(door, 0, fd, to, (int)to.length);
      TELL("again=%s", result == 0 ? greeting(fd) : name(result));
      close(fd);
    }
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct address out = remote4(ECHO_PORT);
    TELL("out=%s", name(call(door, 0, fd, out, (int)out.length)));
    TELL("disconnect=%s", name(call(door, 0, fd, nowhere, 16)));
    TELL("bind=%s", name(call(door, 1, fd, address("0.0.0.0", some_port()), 16)));
    TELL("listen=%s", name(call(door, 2, fd, nowhere, 5)));
    TELL("port=%s", look_at_port(fd, "tcp"));
    close(fd);
    fd = refused_socket(AF_INET);
    TELL("listen=%s", name(call(door, 2, fd, nowhere, 5)));
    TELL("port=%s", look_at_port(fd, "tcp"));
    close(fd);
    if (door == 1) { /* sub-call sendto, with MSG_FASTOPEN: eleven */
      fd = refused_socket(AF_INET);
      struct address *at = place(address("127.0.0.1", LOOPBACK_PORT));
      long result = socketcall(11, (uint32_t *)low, (uint32_t)fd, (uint32_t)(uintptr_t)at, 1, MSG_FASTOPEN | MSG_NOSIGNAL | MSG_DONTWAIT,
                               (uint32_t)(uintptr_t)&at->raw, 16);
      note("fastopen=%s %s", name(result), greeting(fd));
      close(fd);
    }
  }
  return finish();
}
#else
int main(void) { return finish(); }
#endif
