/* Who answers where, and whom they see: both ends of the tests of reach.
 *
 *   reach serve NAME PORT[,PORT...] ADDRESS...
 *       answers each connection with "NAME LOCAL PEER", the addresses as this end sees them, and
 * closes it reach probe TIMEOUT_MS [--between SCRIPT] [--unshare] [--enter NETNS] DESTINATION...
 *       connects to all destinations at once and prints one line for each:
 *           ROUND LABEL OUTCOME
 *       OUTCOME is "NAME/LOCAL<PEER" where a server answered ("self" for PEER where that is an
 * address of this namespace), "open" where somebody accepted and said nothing, else "-", then the
 * errno's name or "timeout". With --between there is a second round, in the same process, after
 * SCRIPT was run by sh; --unshare first moves the process into a user and a network namespace of
 * its own, --enter into NETNS (a file).
 *
 *   DESTINATION is LABEL,ADDRESS,PORT and then any of
 *       maker=UID    the socket is made with this effective user
 *       caller=UID   connect is called with this one
 *       mark=N       SO_MARK            tos=N          IP_TOS
 *       from=ADDRESS bound to it; "self": to this namespace's first address of the family that is
 * not loopback device=NAME  SO_BINDTODEVICE    source=PORT    bound to the port
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_DESTINATIONS = 256, MAX_LISTENERS = 64, TEXT = 256 };

static _Noreturn void fail(const char* what) {
  perror(what);
  exit(1);
}

static socklen_t parse_address(const char* text, int port, struct sockaddr_storage* out) {
  struct sockaddr_in* v4 = (struct sockaddr_in*)out;
  struct sockaddr_in6* v6 = (struct sockaddr_in6*)out;
  memset(out, 0, sizeof *out);
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return sizeof *v4;
  }
  if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    return sizeof *v6;
  }
  fprintf(stderr, "not an address: \"%s\"\n", text);
  exit(2);
}

/* IPv4 in IPv6 as IPv4. */
static void print_address(const struct sockaddr_storage* address, char text[INET6_ADDRSTRLEN]) {
  const struct sockaddr_in* v4 = (const struct sockaddr_in*)address;
  const struct sockaddr_in6* v6 = (const struct sockaddr_in6*)address;
  if (address->ss_family == AF_INET)
    inet_ntop(AF_INET, &v4->sin_addr, text, INET6_ADDRSTRLEN);
  else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
    inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, text, INET6_ADDRSTRLEN);
  else
    inet_ntop(AF_INET6, &v6->sin6_addr, text, INET6_ADDRSTRLEN);
}

/* ---- the server ---- */

static int listen_on(const char* address, int port) {
  struct sockaddr_storage raw;
  const int on = 1, off = 0;
  socklen_t length = parse_address(address, port, &raw);
  int fd = socket(raw.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
  if (raw.ss_family == AF_INET6)
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, strcmp(address, "::") == 0 ? &off : &on, sizeof on);
  if (bind(fd, (struct sockaddr*)&raw, length) != 0) fail(address);
  if (listen(fd, 1024) != 0) fail("listen");
  return fd;
}

static void greet(int listener, const char* name) {
  struct sockaddr_storage local, peer;
  socklen_t length = sizeof peer;
  char line[TEXT], here[INET6_ADDRSTRLEN], there[INET6_ADDRSTRLEN];
  int fd = accept4(listener, (struct sockaddr*)&peer, &length, SOCK_CLOEXEC);
  if (fd < 0) return;
  length = sizeof local;
  if (getsockname(fd, (struct sockaddr*)&local, &length) == 0) {
    print_address(&local, here);
    print_address(&peer, there);
    snprintf(line, sizeof line, "%s %s %s\n", name, here, there);
    send(fd, line, strlen(line), MSG_NOSIGNAL);
  }
  close(fd);
}

static _Noreturn void serve(int argc, char** argv) {
  struct pollfd listeners[MAX_LISTENERS];
  int count = 0;
  char* rest = argv[1];
  for (char* port = strtok_r(rest, ",", &rest); port != NULL; port = strtok_r(NULL, ",", &rest))
    for (int i = 2; i < argc && count < MAX_LISTENERS; i++)
      listeners[count++] = (struct pollfd){.fd = listen_on(argv[i], atoi(port)), .events = POLLIN};
  for (;;) {
    if (poll(listeners, count, -1) < 0 && errno != EINTR) fail("poll");
    for (int i = 0; i < count; i++)
      if (listeners[i].revents != 0) greet(listeners[i].fd, argv[0]);
  }
}

/* ---- the probe ---- */

struct destination {
  const char *label, *address, *from, *device;
  int port, maker, caller, mark, tos, source;
  int fd, error;
  bool connected, done;
  char heard[TEXT];
};

static struct destination destinations[MAX_DESTINATIONS];
static int count;

static void parse_destination(char* text) {
  if (count == MAX_DESTINATIONS) fail("too many destinations");
  struct destination* to = &destinations[count++];
  *to = (struct destination){.maker = -1, .caller = -1, .mark = -1, .tos = -1};
  to->label = strsep(&text, ",");
  to->address = strsep(&text, ",");
  const char* port = strsep(&text, ",");
  if (port == NULL) fail(to->label);
  to->port = atoi(port);
  for (char* option = strsep(&text, ","); option != NULL; option = strsep(&text, ",")) {
    const char* name = strsep(&option, "=");
    if (option == NULL) fail(name);
    if (strcmp(name, "maker") == 0)
      to->maker = atoi(option);
    else if (strcmp(name, "caller") == 0)
      to->caller = atoi(option);
    else if (strcmp(name, "mark") == 0)
      to->mark = atoi(option);
    else if (strcmp(name, "tos") == 0)
      to->tos = atoi(option);
    else if (strcmp(name, "from") == 0)
      to->from = option;
    else if (strcmp(name, "device") == 0)
      to->device = option;
    else if (strcmp(name, "source") == 0)
      to->source = atoi(option);
    else
      fail(name);
  }
}

static int become(int uid) { return syscall(SYS_setresuid, -1, uid, -1) == 0 ? 0 : errno; }

/* Its errno, or 0. */
static int prepare(int fd, const struct destination* to, int family) {
  if (to->mark >= 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &to->mark, sizeof to->mark) != 0)
    return errno;
  if (to->tos >= 0 && setsockopt(fd, IPPROTO_IP, IP_TOS, &to->tos, sizeof to->tos) != 0)
    return errno;
  if (to->device != NULL &&
      setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, to->device, strlen(to->device)) != 0)
    return errno;
  if (to->from == NULL && to->source == 0) return 0;
  struct sockaddr_storage from;
  socklen_t length = parse_address(family == AF_INET ? "0.0.0.0" : "::", 0, &from);
  if (to->from != NULL && strcmp(to->from, "self") != 0) length = parse_address(to->from, 0, &from);
  struct ifaddrs *all, *own;
  if (to->from != NULL && strcmp(to->from, "self") == 0 && getifaddrs(&all) == 0) {
    for (own = all; own != NULL; own = own->ifa_next) {
      if (own->ifa_addr == NULL || own->ifa_addr->sa_family != family ||
          (own->ifa_flags & IFF_LOOPBACK) != 0)
        continue;
      if (family == AF_INET6 &&
          IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6*)own->ifa_addr)->sin6_addr))
        continue;
      memcpy(&from, own->ifa_addr, length);
      break;
    }
    freeifaddrs(all);
  }
  ((struct sockaddr_in*)&from)->sin_port = htons(to->source); /* the same place in both families */
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return bind(fd, (struct sockaddr*)&from, length) == 0 ? 0 : errno;
}

static void finish(struct destination* to, int error) {
  to->done = true;
  to->error = error;
  if (to->fd >= 0) close(to->fd);
  to->fd = -1;
}

static void begin(struct destination* to) {
  struct sockaddr_storage raw;
  socklen_t length = parse_address(to->address, to->port, &raw);
  int error = 0;
  to->connected = to->done = false;
  to->heard[0] = '\0';
  to->fd = -1;
  if (to->maker >= 0 && (error = become(to->maker)) != 0) return finish(to, error);
  to->fd = socket(raw.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (to->fd < 0) error = errno;
  if (to->maker >= 0) become(0);
  if (error == 0) error = prepare(to->fd, to, raw.ss_family);
  if (error != 0) return finish(to, error);
  if (to->caller >= 0 && (error = become(to->caller)) != 0) return finish(to, error);
  if (connect(to->fd, (struct sockaddr*)&raw, length) != 0) error = errno;
  if (to->caller >= 0) become(0);
  if (error != 0 && error != EINPROGRESS) finish(to, error);
}

static void look(struct destination* to) {
  if (!to->connected) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(to->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return finish(to, error);
    to->connected = true;
    return;
  }
  size_t have = strlen(to->heard);
  ssize_t got = read(to->fd, to->heard + have, sizeof to->heard - 1 - have);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return finish(to, got < 0 ? errno : 0);
  to->heard[have + got] = '\0';
  if (strchr(to->heard, '\n') != NULL) finish(to, 0);
}

static long now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void report(int round, const struct destination* to) {
  char name[TEXT], local[TEXT], peer[TEXT];
  if (sscanf(to->heard, "%255s %255s %255s", name, local, peer) == 3)
    printf("%d %s %s/%s<%s\n", round, to->label, name, local, peer);
  else if (to->connected)
    printf("%d %s open\n", round, to->label);
  else
    printf("%d %s - %s\n", round, to->label,
           to->error == 0 ? "timeout" : strerrorname_np(to->error));
}

static void probe(int round, int timeout_ms) {
  const long end = now_ms() + timeout_ms;
  for (int i = 0; i < count; i++) begin(&destinations[i]);
  for (;;) {
    struct pollfd waiting[MAX_DESTINATIONS];
    struct destination* whose[MAX_DESTINATIONS];
    int open = 0;
    for (int i = 0; i < count; i++) {
      struct destination* to = &destinations[i];
      if (to->done) continue;
      whose[open] = to;
      waiting[open++] = (struct pollfd){.fd = to->fd, .events = to->connected ? POLLIN : POLLOUT};
    }
    const long left = end - now_ms();
    if (open == 0 || left <= 0) break;
    if (poll(waiting, open, left) < 0 && errno != EINTR) fail("poll");
    for (int i = 0; i < open; i++)
      if (waiting[i].revents != 0) look(whose[i]);
  }
  for (int i = 0; i < count; i++) {
    if (!destinations[i].done) finish(&destinations[i], 0);
    report(round, &destinations[i]);
  }
  fflush(stdout);
}

static void write_file(const char* path, const char* text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) fail(path);
  close(fd);
}

static void unshare_namespaces(void) {
  char map[TEXT];
  prctl(PR_SET_DUMPABLE, 1); /* lost by changes of the user; /proc/self would belong to root */
  snprintf(map, sizeof map, "0 %u 1", geteuid());
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) fail("unshare");
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/uid_map", map);
}

static void enter(const char* path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) fail(path);
  close(fd);
}

/* Standard output belongs to the results. */
static void run(const char* script) {
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execlp("sh", "sh", "-c", script, NULL);
    fail("sh");
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) {
    fprintf(stderr, "the script ended with %d: %s\n", status, script);
    exit(3);
  }
}

int main(int argc, char** argv) {
  const char *between = NULL, *netns = NULL;
  bool apart = false;
  if (argc > 4 && strcmp(argv[1], "serve") == 0) serve(argc - 2, argv + 2);
  if (argc < 4 || strcmp(argv[1], "probe") != 0) {
    fprintf(stderr,
            "usage: reach serve NAME PORTS ADDRESS... | reach probe TIMEOUT_MS [OPTION...] "
            "DESTINATION...\n");
    return 2;
  }
  for (int i = 3; i < argc; i++) {
    if (strcmp(argv[i], "--between") == 0 && i + 1 < argc)
      between = argv[++i];
    else if (strcmp(argv[i], "--enter") == 0 && i + 1 < argc)
      netns = argv[++i];
    else if (strcmp(argv[i], "--unshare") == 0)
      apart = true;
    else
      parse_destination(argv[i]);
  }
  probe(1, atoi(argv[2]));
  if (between == NULL) return 0;
  if (apart) unshare_namespaces();
  run(between);
  if (netns != NULL) enter(netns);
  probe(2, atoi(argv[2]));
  return 0;
}
