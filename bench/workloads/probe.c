// probe: the small measurements that no common program makes. Static, so that it runs in any container.
//
//   probe connect ADDRESS PORT COUNT             time of a blocking connect(2), one after the other
//   probe epoll ADDRESS PORT COUNT SIZE          the same, non-blocking and registered before, in an epoll set of SIZE
//   probe rate ADDRESS PORT SECONDS PARALLEL     HTTP requests, a new connection each ("Connection: close")
//   probe requests ADDRESS PORT SECONDS RATE     HTTP requests on one connection, on a fixed schedule
//   probe pin ADDRESS PORT SECONDS               HTTP requests with and without a bound device, in turns of 50 ms
//   probe local tcp|unix|nested SECONDS                 connections to a server in the same container
//   probe calls                                  cost of calls that have nothing to do with connecting
//   probe cpu [SINCE]                            seconds that the machine's CPUs were busy, less SINCE
//   probe floor COMMAND...                       runs the command under the least possible switching: see floor.c
//
// Prints one line of JSON (cpu: a number). ADDRESS is numeric IPv4 or IPv6. Exits 1 with a message when something fails.
#define _GNU_SOURCE // accept4, strcasestr
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "floor.h"

static void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "probe: ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, ": %s\n", strerror(errno));
  va_end(arguments);
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
}

static uint64_t deadline_in(const char *seconds) { return now_ns() + (uint64_t)(atof(seconds) * 1e9); }

struct address {
  struct sockaddr_storage storage;
  socklen_t length;
};

static struct address parse_address(const char *host, const char *port) {
  struct address result = {0};
  struct sockaddr_in *in = (struct sockaddr_in *)&result.storage;
  struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&result.storage;
  if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)atoi(port));
    result.length = sizeof *in;
  } else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons((uint16_t)atoi(port));
    result.length = sizeof *in6;
  } else {
    errno = EINVAL;
    die("address %s", host);
  }
  return result;
}

// What new sockets are bound to; 0: nothing.
static int device;

static int try_connect(const struct address *address) {
  const int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  if (device != 0 && setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &device, sizeof device) != 0) die("SO_BINDTOIFINDEX");
  if (connect(fd, (const struct sockaddr *)&address->storage, address->length) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

static int compare(const void *a, const void *b) {
  const uint64_t left = *(const uint64_t *)a;
  const uint64_t right = *(const uint64_t *)b;
  return (left > right) - (left < right);
}

static void print_percentiles(uint64_t *times, size_t count) {
  qsort(times, count, sizeof *times, compare);
  printf("{\"p50_us\": %.1f, \"p99_us\": %.1f}\n", (double)times[count / 2] / 1e3, (double)times[count * 99 / 100] / 1e3);
}

// Only connect(2) itself is timed. Connections are closed by reset: TIME_WAIT would use up the ports.
static void measure_connect(char **arguments) {
  const struct address address = parse_address(arguments[0], arguments[1]);
  const size_t count = (size_t)atol(arguments[2]);
  const size_t warm_up = count / 10;
  const struct linger reset = {.l_onoff = 1, .l_linger = 0};
  uint64_t *times = calloc(count, sizeof *times);
  if (count == 0 || times == NULL) die("COUNT %s", arguments[2]);
  for (size_t i = 0; i < count + warm_up; i++) {
    const int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    const uint64_t start = now_ns();
    if (connect(fd, (const struct sockaddr *)&address.storage, address.length) != 0) die("connect");
    if (i >= warm_up) times[i - warm_up] = now_ns() - start;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
  }
  print_percentiles(times, count);
  free(times);
}

// The set holds descriptors that are never ready, and the socket that is to connect. Only connect(2) itself is timed.
static void measure_epoll(char **arguments) {
  const struct address address = parse_address(arguments[0], arguments[1]);
  const size_t count = (size_t)atol(arguments[2]);
  const int size = atoi(arguments[3]);
  const struct linger reset = {.l_onoff = 1, .l_linger = 0};
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) die("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) die("setrlimit");
  const int set = epoll_create1(EPOLL_CLOEXEC);
  if (set < 0) die("epoll_create1");
  uint64_t *times = calloc(count, sizeof *times);
  if (count == 0 || times == NULL) die("COUNT %s", arguments[2]);
  for (int i = 1; i < size; i++) {
    struct epoll_event event = {.events = EPOLLIN};
    const int other = eventfd(0, EFD_CLOEXEC);
    if (other < 0 || epoll_ctl(set, EPOLL_CTL_ADD, other, &event) != 0) die("SIZE %s", arguments[3]);
  }
  for (size_t i = 0; i < count; i++) {
    const int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct epoll_event event = {.events = EPOLLOUT, .data = {.fd = fd}};
    if (fd < 0 || epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0) die("socket");
    const uint64_t start = now_ns();
    if (connect(fd, (const struct sockaddr *)&address.storage, address.length) != 0 && errno != EINPROGRESS) die("connect");
    times[i] = now_ns() - start;
    if (epoll_wait(set, &event, 1, 10000) != 1 || event.data.fd != fd) die("epoll_wait");
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
  }
  print_percentiles(times, count);
  free(times);
}

static int request(const struct address *address) {
  static const char text[] = "GET / HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n";
  char answer[4096];
  ssize_t got;
  size_t total = 0;
  const int fd = try_connect(address);
  if (fd < 0) return 0;
  if (send(fd, text, sizeof text - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof text - 1)) {
    close(fd);
    return 0;
  }
  while ((got = read(fd, answer, sizeof answer)) > 0) total += (size_t)got;
  close(fd);
  return got == 0 && total > 0;
}

// The interface that leads to an address.
static int device_to(const struct address *address) {
  struct sockaddr_storage own = {0};
  socklen_t length = sizeof own;
  const int fd = try_connect(address);
  if (fd < 0 || getsockname(fd, (struct sockaddr *)&own, &length) != 0) die("connect");
  close(fd);
  struct ifaddrs *list = NULL;
  if (getifaddrs(&list) != 0) die("getifaddrs");
  int index = 0;
  for (const struct ifaddrs *one = list; one != NULL && index == 0; one = one->ifa_next) {
    if (one->ifa_addr == NULL || one->ifa_addr->sa_family != own.ss_family) continue;
    const int same = own.ss_family == AF_INET
                         ? ((struct sockaddr_in *)one->ifa_addr)->sin_addr.s_addr == ((struct sockaddr_in *)&own)->sin_addr.s_addr
                         : memcmp(&((struct sockaddr_in6 *)one->ifa_addr)->sin6_addr, &((struct sockaddr_in6 *)&own)->sin6_addr,
                                  sizeof(struct in6_addr)) == 0;
    if (same) index = (int)if_nametoindex(one->ifa_name);
  }
  freeifaddrs(list);
  if (index == 0) die("no interface has the own address");
  return index;
}

static void measure_pin(char **arguments) {
  enum { SLICE_NS = 50000000 };
  const struct address address = parse_address(arguments[0], arguments[1]);
  const int egress = device_to(&address);
  uint64_t done[2] = {0, 0};
  uint64_t spent[2] = {0, 0};
  const uint64_t deadline = deadline_in(arguments[2]);
  for (int turn = 0; now_ns() < deadline; turn = !turn) {
    device = turn == 1 ? egress : 0;
    const uint64_t begin = now_ns();
    while (now_ns() < begin + SLICE_NS) {
      if (!request(&address)) die("request");
      done[turn]++;
    }
    spent[turn] += now_ns() - begin;
  }
  const double plain = (double)done[0] / (double)spent[0];
  const double pinned = (double)done[1] / (double)spent[1];
  printf("{\"per_second\": %.0f, \"cost_percent\": %.2f}\n", plain * 1e9, (1 - pinned / plain) * 100);
}

static void measure_rate(char **arguments) {
  const struct address address = parse_address(arguments[0], arguments[1]);
  const int parallel = atoi(arguments[3]);
  struct counts {
    uint64_t done, failed;
  } *counts = mmap(NULL, sizeof *counts * (size_t)parallel, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (counts == MAP_FAILED) die("mmap");
  if (!request(&address)) die("no HTTP server at %s port %s", arguments[0], arguments[1]);
  const uint64_t start = now_ns();
  const uint64_t deadline = deadline_in(arguments[2]);
  for (int i = 0; i < parallel; i++) {
    const pid_t pid = fork();
    if (pid < 0) die("fork");
    if (pid != 0) continue;
    while (now_ns() < deadline) {
      if (request(&address)) {
        counts[i].done++;
      } else {
        counts[i].failed++;
      }
    }
    _exit(0);
  }
  while (wait(NULL) > 0) continue;
  uint64_t done = 0;
  uint64_t failed = 0;
  for (int i = 0; i < parallel; i++) {
    done += counts[i].done;
    failed += counts[i].failed;
  }
  printf("{\"per_second\": %.0f, \"requests\": %llu, \"failed\": %llu}\n", (double)done * 1e9 / (double)(now_ns() - start),
         (unsigned long long)done, (unsigned long long)failed);
}

// Reads one answer. Returns its length, 0 when the server closed the connection before one came.
static size_t read_answer(int fd) {
  char answer[65536];
  size_t got = 0;
  while (got < sizeof answer - 1) {
    const ssize_t more = read(fd, answer + got, sizeof answer - 1 - got);
    if (more < 0) die("read");
    if (more == 0) return 0;
    got += (size_t)more;
    answer[got] = '\0';
    const char *end = strstr(answer, "\r\n\r\n");
    if (end == NULL) continue;
    const char *field = strcasestr(answer, "\r\nContent-Length:");
    if (field == NULL || field > end) break;
    const size_t length = (size_t)(end + 4 - answer) + strtoul(field + strlen("\r\nContent-Length:"), NULL, 10);
    if (got >= length) return length;
  }
  errno = EMSGSIZE;
  die("answer without Content-Length, or longer than 64 KiB");
  return 0;
}

static void wait_until(uint64_t time) {
  const struct timespec due = {.tv_sec = (time_t)(time / 1000000000U), .tv_nsec = (long)(time % 1000000000U)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR) continue;
}

// A server may close a kept connection after some number of requests: then a new one is made, and the time of that counts.
static void measure_requests(char **arguments) {
  static const char text[] = "GET / HTTP/1.1\r\nHost: probe\r\n\r\n";
  const struct address address = parse_address(arguments[0], arguments[1]);
  const uint64_t interval = (uint64_t)(1e9 / atof(arguments[3]));
  const size_t count = (size_t)(atof(arguments[2]) * 1e9 / (double)interval);
  const size_t warm_up = count / 10;
  uint64_t *times = calloc(count, sizeof *times);
  if (count == 0 || times == NULL) die("SECONDS %s, RATE %s", arguments[2], arguments[3]);
  int fd = -1;
  const uint64_t start = now_ns();
  for (size_t i = 0; i < count + warm_up; i++) {
    const uint64_t due = start + i * interval;
    wait_until(due);
    for (;;) {
      const int fresh = fd < 0;
      if (fresh && (fd = try_connect(&address)) < 0) die("connect to %s port %s", arguments[0], arguments[1]);
      if (send(fd, text, sizeof text - 1, MSG_NOSIGNAL) == (ssize_t)(sizeof text - 1) && read_answer(fd) > 0) break;
      close(fd);
      fd = -1;
      if (fresh) die("no HTTP server at %s port %s", arguments[0], arguments[1]);
    }
    if (i >= warm_up) times[i - warm_up] = now_ns() - due;
  }
  print_percentiles(times, count);
  free(times);
}

// The client closes first. `nested`: TCP in a network namespace within the container's, as a pod has it. Over TCP each connection goes to another address of 127.0.0.0/8, so that ports never run out.
static void measure_local(char **arguments) {
  const int nested = strcmp(arguments[0], "nested") == 0;
  const int tcp = nested || strcmp(arguments[0], "tcp") == 0;
  if (nested) enter_new_network();
  struct sockaddr_in in = {.sin_family = AF_INET};
  struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0sockswitch-probe"};
  struct address address = {0};
  const int server = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (tcp) {
    address.length = sizeof in;
    memcpy(&address.storage, &in, sizeof in);
  } else {
    address.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof "sockswitch-probe");
    memcpy(&address.storage, &un, sizeof un);
  }
  if (bind(server, (struct sockaddr *)&address.storage, address.length) != 0 || listen(server, 1024) != 0) die("listen");
  if (tcp) getsockname(server, (struct sockaddr *)&address.storage, &address.length);
  const pid_t pid = fork();
  if (pid < 0) die("fork");
  if (pid == 0) {
    for (;;) {
      char byte;
      const int fd = accept4(server, NULL, NULL, SOCK_CLOEXEC);
      if (fd < 0) continue;
      (void)!read(fd, &byte, 1); // until the client has closed
      close(fd);
    }
  }
  const uint64_t start = now_ns();
  const uint64_t deadline = deadline_in(arguments[1]);
  uint64_t done = 0;
  while (now_ns() < deadline) {
    if (tcp) ((struct sockaddr_in *)&address.storage)->sin_addr.s_addr = htonl(0x7f000001U + (uint32_t)(done % 250));
    const int fd = try_connect(&address);
    if (fd < 0) die("connect");
    close(fd);
    done++;
  }
  printf("{\"per_second\": %.0f}\n", (double)done * 1e9 / (double)(now_ns() - start));
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0); // the next run wants the same name
}

static void call_fcntl(int fd) {
  if (fcntl(fd, F_GETFL) < 0) die("fcntl");
}

static void call_setsockopt(int fd) {
  const int one = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) != 0) die("setsockopt");
}

static void call_dup_close(int fd) {
  if (close(dup(fd)) != 0) die("close");
}

static void call_open_close(int fd) {
  (void)fd;
  if (close(open("/dev/null", O_RDONLY | O_CLOEXEC)) != 0) die("open");
}

static void call_fork_exec(int fd) {
  (void)fd;
  int status = 0;
  const pid_t pid = fork();
  if (pid == 0) {
    execl("/proc/self/exe", "probe", "nothing", NULL);
    _exit(127);
  }
  if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) die("fork and exec");
}

static void measure_calls(void) {
  static const struct {
    const char *name;
    void (*call)(int);
    unsigned count;
  } calls[] = {{"fcntl", call_fcntl, 50000},
               {"setsockopt", call_setsockopt, 50000},
               {"dup_close", call_dup_close, 50000},
               {"open_close", call_open_close, 20000},
               {"fork_exec", call_fork_exec, 300}};
  enum { KINDS = sizeof calls / sizeof calls[0], PASSES = 5 };
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  // The best of several passes: other load only ever makes calls slower. The first pass warms up.
  double best[KINDS] = {0};
  for (int pass = 0; pass <= PASSES; pass++) {
    for (int kind = 0; kind < KINDS; kind++) {
      const uint64_t start = now_ns();
      for (unsigned i = 0; i < calls[kind].count / PASSES; i++) calls[kind].call(fd);
      const double each = (double)(now_ns() - start) / (calls[kind].count / PASSES);
      if (pass == 1 || (pass > 1 && each < best[kind])) best[kind] = each;
    }
  }
  for (int kind = 0; kind < KINDS; kind++) printf("%s\"%s_ns\": %.1f", kind == 0 ? "{" : ", ", calls[kind].name, best[kind]);
  printf("}\n");
}

// User, nice, system and both kinds of interrupts; not idle, waiting for I/O or stolen. The kernel counts in ticks.
static void print_cpu(const char *since) {
  unsigned long long user, nice, system, idle, iowait, irq, softirq;
  FILE *file = fopen("/proc/stat", "re");
  if (file == NULL) die("/proc/stat");
  const int fields = fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait, &irq, &softirq);
  fclose(file);
  if (fields != 7) die("/proc/stat");
  const double busy = (double)(user + nice + system + irq + softirq) / (double)sysconf(_SC_CLK_TCK);
  printf("%.2f\n", busy - (since == NULL ? 0 : atof(since)));
}

int main(int count, char **arguments) {
  const char *verb = count > 1 ? arguments[1] : "";
  if (strcmp(verb, "nothing") == 0) return 0;
  if (strcmp(verb, "connect") == 0 && count == 5) {
    measure_connect(arguments + 2);
  } else if (strcmp(verb, "epoll") == 0 && count == 6) {
    measure_epoll(arguments + 2);
  } else if (strcmp(verb, "rate") == 0 && count == 6) {
    measure_rate(arguments + 2);
  } else if (strcmp(verb, "pin") == 0 && count == 5) {
    measure_pin(arguments + 2);
  } else if (strcmp(verb, "local") == 0 && count == 4) {
    measure_local(arguments + 2);
  } else if (strcmp(verb, "requests") == 0 && count == 6) {
    measure_requests(arguments + 2);
  } else if (strcmp(verb, "calls") == 0 && count == 2) {
    measure_calls();
  } else if (strcmp(verb, "floor") == 0 && count > 2) {
    return run_at_floor(arguments + 2);
  } else if (strcmp(verb, "cpu") == 0 && count <= 3) {
    print_cpu(count == 3 ? arguments[2] : NULL);
  } else {
    fprintf(stderr, "usage: probe connect ADDRESS PORT COUNT | epoll ADDRESS PORT COUNT SIZE | rate ADDRESS PORT SECONDS PARALLEL | "
                    "requests ADDRESS PORT SECONDS RATE | pin ADDRESS PORT SECONDS | local tcp|unix|nested SECONDS | calls | cpu [SINCE] | floor COMMAND...\n");
    return 2;
  }
  return 0;
}
