#define _GNU_SOURCE
#include "attack.h"

#include <net/if.h>
#include <stdarg.h>
#include <sys/random.h>
#include <time.h>

const char *const LOOPBACKS[] = {"0.0.0.0",          "127.0.0.1",        "127.1.2.3",          "127.255.255.254",
                                 "0.0.0.1",          "::",               "::1",                "::ffff:127.0.0.1",
                                 "::ffff:127.1.2.3", "::ffff:0.0.0.0",   "::127.0.0.1",        "::0.0.0.0",
                                 "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", NULL};

static char details[16384], notes[16384];
static bool was_reached;
enum { PATIENCE_MS = 1000 };

static void append(char *to, size_t size, const char *format, va_list arguments) {
  size_t used = strlen(to);
  if (used > 0 && used + 1 < size) to[used++] = ' ', to[used] = 0;
  vsnprintf(to + used, size - used, format, arguments);
}

void detail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  append(details, sizeof details, format, arguments);
  va_end(arguments);
}

void note(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  append(notes, sizeof notes, format, arguments);
  va_end(arguments);
}

void reached(void) { was_reached = true; }
bool is_reached(void) { return was_reached; }

static void print_text(const char *name, const char *text) {
  printf("\"%s\": \"", name);
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') putchar('\\');
    if ((unsigned char)*text >= ' ') putchar(*text);
  }
  putchar('"');
}

int finish(void) {
  printf("{\"reached\": %s, ", was_reached ? "true" : "false");
  print_text("detail", details);
  printf(", ");
  print_text("note", notes);
  printf("}\n");
  return 0;
}

const char *setting(const char *name) {
  const char *value = getenv(name);
  if (value) return value;
  fprintf(stderr, "%s is not set\n", name);
  exit(2);
}

long tries(long otherwise) {
  const char *value = getenv("TRIES");
  return value ? atol(value) : otherwise;
}

long elapsed_ms(void) {
  static struct timespec start;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (start.tv_sec == 0) start = now;
  return (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
}

struct address address(const char *text, int port) {
  struct address result = {.length = 0};
  if (strchr(text, ':')) {
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&result.raw;
    char copy[80];
    snprintf(copy, sizeof copy, "%s", text);
    char *zone = strchr(copy, '%');
    if (zone) {
      *zone = 0;
      v6->sin6_scope_id = (uint32_t)atoi(zone + 1);
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    if (inet_pton(AF_INET6, copy, &v6->sin6_addr) != 1) exit(3);
    result.length = sizeof *v6;
  } else {
    struct sockaddr_in *v4 = (struct sockaddr_in *)&result.raw;
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, text, &v4->sin_addr) != 1) exit(3);
    result.length = sizeof *v4;
  }
  return result;
}

const struct sockaddr *raw(const struct address *address) { return (const struct sockaddr *)&address->raw; }
struct address remote4(int port) { return address(setting("REMOTE4"), port); }
struct address remote6(int port) { return address(setting("REMOTE6"), port); }

int connected_socket(int family, int type) {
  struct address to = family == AF_INET ? remote4(ECHO_PORT) : remote6(ECHO_PORT);
  int fd = socket(family, type, 0);
  if (fd < 0 || connect(fd, raw(&to), to.length) != 0) return -1;
  return fd;
}

int refused_socket(int family) {
  struct address to = family == AF_INET ? remote4(REFUSING_PORT) : remote6(REFUSING_PORT);
  int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  if (connect(fd, raw(&to), to.length) != 0 && errno == EINPROGRESS) {
    struct pollfd poll_for = {.fd = fd, .events = POLLOUT};
    poll(&poll_for, 1, PATIENCE_MS);
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  }
  return fd;
}

int disconnect(int fd) {
  struct sockaddr_storage nowhere = {.ss_family = AF_UNSPEC};
  return connect(fd, (struct sockaddr *)&nowhere, sizeof(struct sockaddr_in));
}

int some_port(void) {
  uint16_t number = 0;
  getrandom(&number, sizeof number, 0);
  return 20000 + number % 12000;
}

void random_token(char token[64]) {
  uint64_t number = 0;
  getrandom(&number, sizeof number, 0);
  snprintf(token, 64, "token-%016llx", (unsigned long long)number);
}

const char *outcome(long result) { return result >= 0 ? "ok" : strerrorname_np(errno); }

const char *greeting(int fd) {
  static char text[64];
  struct pollfd poll_for = {.fd = fd, .events = POLLIN};
  if (poll(&poll_for, 1, 1000) <= 0) return "connected";
  ssize_t size = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
  if (size <= 0) return "connected";
  text[size] = 0;
  text[strcspn(text, "\r\n")] = 0;
  if (strcmp(text, "HOST-LOOPBACK") == 0) reached();
  return text;
}

const char *try_connect(int fd, const struct address *to, bool blocking) {
  int flags = fcntl(fd, F_GETFL);
  struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
  if (blocking) {
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    if (connect(fd, raw(to), to->length) == 0) return greeting(fd);
    return errno == EINPROGRESS || errno == EAGAIN ? "timeout" : strerrorname_np(errno);
  }
  fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  if (connect(fd, raw(to), to->length) == 0) return greeting(fd);
  if (errno != EINPROGRESS) return strerrorname_np(errno);
  struct pollfd poll_for = {.fd = fd, .events = POLLOUT};
  if (poll(&poll_for, 1, PATIENCE_MS) == 0) return "timeout";
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  return error == 0 ? greeting(fd) : strerrorname_np(error);
}

const char *witness(const char *format, ...) {
  static char text[256];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, sizeof text - 1, format, arguments);
  va_end(arguments);
  text[length++] = '\n';
  struct address to = remote4(WITNESS_PORT);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, raw(&to), to.length) != 0 || send(fd, text, (size_t)length, 0) != length) {
    snprintf(text, sizeof text, "no-witness-%s", strerrorname_np(errno));
    close(fd);
    return text;
  }
  size_t used = 0;
  ssize_t size = 0;
  while (used < sizeof text - 1 && (size = recv(fd, text + used, sizeof text - 1 - used, 0)) > 0) used += (size_t)size;
  close(fd);
  text[used] = 0;
  text[strcspn(text, "\n")] = 0;
  return text;
}

const char *look_at_port(int fd, const char *protocol) {
  struct address name = {.length = sizeof name.raw};
  if (getsockname(fd, (struct sockaddr *)&name.raw, &name.length) != 0) return strerrorname_np(errno);
  int port = ntohs(((struct sockaddr_in *)&name.raw)->sin_port); /* the same place in both families */
  if (port == 0) return "no-port";
  const char *answer = witness("%s %d", protocol, port);
  if (strcmp(answer, "closed") != 0) reached();
  return answer;
}
