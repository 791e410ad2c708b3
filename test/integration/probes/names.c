/*
 * getsockname(2) in a container that publishes port 80: a service's socket on it must answer as a socket on port 81, which is
 * not published and therefore the kernel's, whatever it is asked. So must getsockopt(2) with SO_ORIGINAL_DST. Tells each
 * difference, and counts what was equal.
 *
 *   names         all of it
 *   names cost N  N calls on a service's socket, and as many on the other one: nanoseconds each
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ORIGINAL = 80 /* SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST */, PUBLISHED = 80, OTHER = 81, PAGE = 4096, ROOM = 256, CANARY = 0x5a };

static int equal, different;

static int listener(int family, int port) {
  int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
  struct sockaddr *name = family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
  if (bind(fd, name, family == AF_INET ? sizeof v4 : sizeof v6) != 0 || listen(fd, 9) != 0) {
    printf("differs: listener on %d: %s\n", port, strerror(errno));
    exit(1);
  }
  return fd;
}

/* --- the doors: the call as 64-bit and as 32-bit programs make it --- */

static char *low; /* memory below 4 GiB */

static long direct(long fd, const void *address, const void *length) {
  long result = syscall(SYS_getsockname, fd, address, length);
  return result < 0 ? -errno : result;
}

static long original(long fd, const void *address, const void *length) {
  long result = syscall(SYS_getsockopt, fd, IPPROTO_IP, ORIGINAL, address, length);
  return result < 0 ? -errno : result;
}

static long original6(long fd, const void *address, const void *length) {
  long result = syscall(SYS_getsockopt, fd, IPPROTO_IPV6, ORIGINAL, address, length);
  return result < 0 ? -errno : result;
}

#ifdef __x86_64__
static long int80_5(long number, long a, long b, long c, long d, long e) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory", "r8", "r9", "r10", "r11");
  return result;
}
static long int80(long number, long a, long b, long c) { return int80_5(number, a, b, c, 0, 0); }
static long i386_original(long fd, const void *address, const void *length) {
  return int80_5(365, fd, IPPROTO_IP, ORIGINAL, (long)address, (long)length);
}
static long socketcall_original(long fd, const void *address, const void *length) {
  uint32_t words[] = {(uint32_t)fd, IPPROTO_IP, ORIGINAL, (uint32_t)(uintptr_t)address, (uint32_t)(uintptr_t)length};
  memcpy(low + PAGE - sizeof words, words, sizeof words);
  return int80(102, 15, (long)(low + PAGE - sizeof words), 0);
}
static long x32_original(long fd, const void *address, const void *length) {
  long result = syscall(542 | 0x40000000, fd, IPPROTO_IP, ORIGINAL, address, length);
  return result < 0 ? -errno : result;
}
static long i386(long fd, const void *address, const void *length) { return int80(367, fd, (long)address, (long)length); }
static long socketcall(long fd, const void *address, const void *length) {
  uint32_t words[] = {(uint32_t)fd, (uint32_t)(uintptr_t)address, (uint32_t)(uintptr_t)length};
  memcpy(low + PAGE - sizeof words, words, sizeof words);
  return int80(102, 6, (long)(low + PAGE - sizeof words), 0);
}
static long x32(long fd, const void *address, const void *length) {
  long result = syscall(SYS_getsockname | 0x40000000, fd, address, length);
  return result < 0 ? -errno : result;
}
#endif

typedef long (*Door)(long, const void *, const void *);

/* --- one question, asked of two sockets --- */

struct answer {
  long result;
  int length;
  unsigned char room[ROOM];
};

/* `address`, `length`: other places than the room and its length; `bits`: more of the register that the descriptor is in. */
static struct answer ask(Door door, int fd, int given, const void *address, const void *length, long bits) {
  struct answer *at = (struct answer *)low;
  memset(at, CANARY, sizeof *at);
  at->length = given;
  long result = door((long)fd | bits, address ? address : at->room + 32, length ? length : &at->length);
  struct answer copy = *at;
  copy.result = result;
  if (result == -EFAULT) copy.length = 0; /* kernels differ in whether it is written before the fault */
  return copy;
}

/* The port is the one thing that may differ. */
static void hide_port(struct answer *answer, int port) {
  uint16_t wanted = htons((uint16_t)port), hidden = 0xffff;
  if (memcmp(answer->room + 34, &wanted, sizeof wanted) == 0) memcpy(answer->room + 34, &hidden, sizeof hidden);
  if (answer->room[34] == 0 && answer->room[35] == CANARY) answer->room[34] = 0xff; /* cut within it */
}

static void compare(const char *door_name, Door door, const int sockets[2], int given, const void *address, const void *length,
                    const char *what) {
  struct answer published = ask(door, sockets[0], given, address, length, 0);
  struct answer other = ask(door, sockets[1], given, address, length, 0);
  bool named = published.result == 0 && given >= 4 && !address;
  uint16_t port = htons(PUBLISHED);
  if (named && memcmp(published.room + 34, &port, sizeof port) != 0) {
    printf("differs: %s: %s: port %d\n", door_name, what, published.room[34] * 256 + published.room[35]);
    different++;
    return;
  }
  hide_port(&published, PUBLISHED);
  hide_port(&other, OTHER);
  if (memcmp(&published, &other, sizeof published) == 0) {
    equal++;
    return;
  }
  different++;
  printf("differs: %s: %s, length %d: %ld (%d), the kernel says %ld (%d)\n", door_name, what, given, published.result, published.length,
         other.result, other.length);
}

static void compare_all(const char *name, Door door, const int sockets[2]) {
  static const int lengths[] = {-1, INT32_MIN, 0, 1, 2, 3, 4, 7, 15, 16, 17, 27, 28, 29, 100, 128, 129, 4096, INT32_MAX};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) compare(name, door, sockets, lengths[i], NULL, NULL, "usual");
  char *sealed = low + 4 * PAGE, *none = low + 6 * PAGE; /* read-only; not there, after a page that is */
  const void *bad[] = {(void *)1, (void *)0xfffff000, sealed, none, none - 1, none - 3, none - 7};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    static const int some[] = {-1, 0, 1, 4, 16, 28, 128};
    for (size_t n = 0; n < sizeof some / sizeof *some; n++) {
      char what[64];
      memset(none - PAGE, CANARY, PAGE);
      snprintf(what, sizeof what, "bad address %zu", i);
      compare(name, door, sockets, some[n], bad[i], NULL, what);
      snprintf(what, sizeof what, "bad length %zu", i);
      compare(name, door, sockets, some[n], NULL, bad[i], what);
    }
  }
}

/* What a listener of `listener()` accepts, of a client that asks for the container's own address. */
static int accepted(int server, int port) {
  struct sockaddr_in away = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0xc0000201)}, own;
  socklen_t length = sizeof own;
  int probe = socket(AF_INET, SOCK_DGRAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), fd = -1;
  if (connect(probe, (struct sockaddr *)&away, sizeof away) == 0 && getsockname(probe, (struct sockaddr *)&own, &length) == 0) {
    own.sin_port = htons((uint16_t)port);
    if (connect(client, (struct sockaddr *)&own, sizeof own) == 0) fd = accept4(server, NULL, NULL, SOCK_CLOEXEC);
  }
  if (fd < 0) {
    printf("differs: accepted on %d: %s\n", port, strerror(errno));
    exit(1);
  }
  close(probe);
  return fd; /* the client stays */
}

static void far_pointers(const int sockets[2]) {
  const uint64_t bad[] = {0x7ffffffff000, 0x7fffffffeffc, 0x800000000000, 0xffff800000000000, UINT64_MAX, UINT64_MAX - 3, 0xdead000000000000};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    compare("direct", direct, sockets, 16, (void *)bad[i], NULL, "far address");
    compare("direct", direct, sockets, 16, NULL, (void *)bad[i], "far length");
  }
}

static void expect(const char *what, long got, long wanted) {
  if (got == wanted) {
    equal++;
    return;
  }
  different++;
  printf("differs: %s: %ld, not %ld\n", what, got, wanted);
}

static void no_sockets(int service) {
  int ends[2], zero = open("/dev/null", O_RDWR), path = open("/", O_PATH);
  if (pipe(ends) != 0) exit(1);
  socklen_t length = ROOM;
  char room[ROOM];
  expect("no descriptor", direct(-1, room, &length), -EBADF);
  expect("free number", direct(1000000, room, &length), -EBADF);
  expect("pipe", direct(ends[0], room, &length), -ENOTSOCK);
  expect("/dev/null", direct(zero, room, &length), -ENOTSOCK);
  expect("O_PATH", direct(path, room, &length), -EBADF);
  expect("AF_UNIX", direct(socket(AF_UNIX, SOCK_STREAM, 0), room, &length), 0);
  expect("high bits of the descriptor", direct(((long)service | (1L << 32)), room, &length), 0);
}

/* Where the host tracks connections, it knows those of a service by its own address and port. */
static void originals(const int v4[2], const int v6[2], const int connections[2]) {
  compare_all("original destination of a listener", original, v4);
  compare_all("original destination of a listener, IPv6", original6, v6);
  compare_all("original destination", original, connections);
  compare_all("original destination, of IPv6", original6, connections);
#ifdef __x86_64__
  compare_all("original destination, i386", i386_original, connections);
  compare_all("original destination, socketcall", socketcall_original, connections);
  if (syscall(SYS_getpid | 0x40000000) > 0) compare_all("original destination, x32", x32_original, connections);
  expect("socketcall for an option without arguments", int80(102, 15, 1, 0), -EFAULT);
#endif
  char room[ROOM];
  socklen_t length = ROOM;
  expect("original destination of no descriptor", original(-1, room, &length), -EBADF);
  expect("original destination of a free number", original(1000000, room, &length), -EBADF);
  expect("original destination of /dev/null", original(open("/dev/null", O_RDWR), room, &length), -ENOTSOCK);
  expect("original destination of AF_UNIX", original(socket(AF_UNIX, SOCK_STREAM, 0), room, &length), -EOPNOTSUPP);
  expect("original destination of UDP", original(socket(AF_INET, SOCK_DGRAM, 0), room, &length), -ENOPROTOOPT);
}

/* --- races --- */

static volatile bool over;
static int number;

static void *swap_descriptor(void *sockets) {
  for (int i = 0; !over; i++) dup2(((int *)sockets)[i % 2], number);
  return NULL;
}

static void *swap_protection(void *page) {
  while (!over) {
    mprotect(page, PAGE, PROT_READ);
    mprotect(page, PAGE, PROT_READ | PROT_WRITE);
  }
  return NULL;
}

static void *swap_memory(void *page) {
  while (!over) {
    mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    munmap(page, PAGE);
  }
  return NULL;
}

static void *swap_length(void *length) {
  for (int i = 0; !over; i++) *(volatile int *)length = i % 40 - 4;
  return NULL;
}

static void race(const char *what, void *(*other)(void *), void *with, int fd, void *address, socklen_t *length, bool faults, bool negative) {
  pthread_t thread;
  over = false;
  pthread_create(&thread, NULL, other, with);
  int bad = 0;
  for (int i = 0; i < 4000; i++) {
    if (other != swap_length) *length = 16;
    long result = direct(fd, address, length);
    bool fine = result == 0 || (faults && result == -EFAULT) || (negative && result == -EINVAL);
    if (!fine && bad++ == 0) printf("differs: %s: %ld\n", what, result);
    if (other == swap_descriptor && result == 0) {
      int port = ntohs(((struct sockaddr_in *)address)->sin_port);
      if (port != PUBLISHED && port != OTHER && bad++ == 0) printf("differs: %s: port %d\n", what, port);
    }
  }
  over = true;
  pthread_join(thread, NULL);
  if (bad > 0) different++;
  else equal++;
}

static void races(int sockets[2]) {
  struct sockaddr_in name;
  socklen_t length = sizeof name;
  number = dup(sockets[0]);
  race("descriptor replaced", swap_descriptor, sockets, number, &name, &length, false, false);
  char *page = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(page, CANARY, 3 * PAGE);
  race("memory made read-only", swap_protection, page + PAGE, sockets[0], page + PAGE + 64, &length, true, false);
  race("length changed", swap_length, &length, sockets[0], page + PAGE + 64, &length, false, true);
  race("memory unmapped", swap_memory, page + PAGE, sockets[0], page + PAGE + 64, &length, true, false);
  int touched = 0;
  for (int i = 0; i < PAGE; i++) touched += page[i] != CANARY || page[2 * PAGE + i] != CANARY;
  expect("bytes written elsewhere", touched, 0);
}

static void on_alarm(int signal) { (void)signal; }

/* Signals that interrupt the call at any moment: what it repeats must be cut as it was the first time. */
static void signals(int service, int flags) {
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
  sigaction(SIGALRM, &action, NULL);
  struct itimerval often = {{0, 61}, {0, 61}}, never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &often, NULL);
  int beyond = 0, failed = 0, lengths = 0;
  for (int i = 0; i < 20000; i++) {
    unsigned char room[ROOM];
    memset(room, CANARY, sizeof room);
    socklen_t length = 4;
    long result = direct(service, room, &length);
    bool interrupted = result == -EINTR && flags == 0;
    failed += result != 0 && !interrupted;
    lengths += result == 0 && length != 16;
    for (int at = 4; at < ROOM; at++) beyond += room[at] != CANARY;
  }
  setitimer(ITIMER_REAL, &never, NULL);
  const char *how = flags == 0 ? "signals" : "signals, SA_RESTART";
  char what[64];
  snprintf(what, sizeof what, "%s: failed", how);
  expect(what, failed, 0);
  snprintf(what, sizeof what, "%s: lengths", how);
  expect(what, lengths, 0);
  snprintf(what, sizeof what, "%s: bytes beyond the room", how);
  expect(what, beyond, 0);
}

static long long nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static double cost(int fd, int calls) {
  struct sockaddr_in name;
  long long since = nanoseconds();
  for (int i = 0; i < calls; i++) {
    socklen_t length = sizeof name;
    getsockname(fd, (struct sockaddr *)&name, &length);
  }
  return (double)(nanoseconds() - since) / calls;
}

int main(int argc, char **argv) {
  int v4[2] = {listener(AF_INET, PUBLISHED), listener(AF_INET, OTHER)};
  if (argc > 2) {
    int calls = atoi(argv[2]), fresh = socket(AF_UNIX, SOCK_STREAM, 0);
    for (int i = 0; i < 3; i++) {
      printf("service %.0f, container socket %.0f, AF_UNIX %.0f ns\n", cost(v4[0], calls), cost(v4[1], calls), cost(fresh, calls));
    }
    return 0;
  }
  int v6[2] = {listener(AF_INET6, PUBLISHED), listener(AF_INET6, OTHER)};
#ifdef __x86_64__
  low = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
#else
  low = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
#endif
  mprotect(low + 4 * PAGE, PAGE, PROT_READ);
  mprotect(low + 6 * PAGE, PAGE, PROT_NONE);
  int *families[] = {v4, v6};
  for (int i = 0; i < 2; i++) {
    compare_all("direct", direct, families[i]);
#ifdef __x86_64__
    compare_all("i386", i386, families[i]);
    compare_all("socketcall", socketcall, families[i]);
    if (syscall(SYS_getpid | 0x40000000) > 0) compare_all("x32", x32, families[i]);
#endif
    far_pointers(families[i]);
  }
#ifdef __x86_64__
  expect("socketcall without arguments", int80(102, 6, 1, 0), -EFAULT);
#endif
  int connections[2] = {accepted(v4[0], PUBLISHED), accepted(v4[1], OTHER)};
  compare_all("direct, accepted", direct, connections);
#ifdef __x86_64__
  compare_all("i386, accepted", i386, connections);
#endif
  far_pointers(connections);
  originals(v4, v6, connections);
  no_sockets(v4[0]);
  races(v4);
  signals(v4[0], 0);
  signals(v4[0], SA_RESTART);
  printf("%d equal, %d different\n", equal, different);
  return different != 0;
}
