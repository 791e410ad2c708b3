/* Host sockets with several descriptors, in children and across exec. */
#define _GNU_SOURCE
#include <sys/wait.h>

#include "attack.h"

static void turn_around(const char *what, int fd) {
  struct address victim = address("127.0.0.1", LOOPBACK_PORT), unspecified = address("0.0.0.0", LOOPBACK_PORT);
  note("%s:disconnect=%s", what, outcome(disconnect(fd)));
  note("loopback=%s", try_connect(fd, &victim, false));
  note("unspecified=%s", try_connect(fd, &unspecified, true));
  disconnect(fd);
  int listening = listen(fd, 5);
  note("listen=%s", outcome(listening));
  if (listening == 0) note("port=%s", look_at_port(fd, "tcp"));
}

int main(int argc, char **argv) {
  if (argc > 1) { /* after exec: the descriptor is the argument */
    turn_around("exec", atoi(argv[1]));
    return is_reached() ? 9 : 0;
  }
  int fd = connected_socket(AF_INET, SOCK_STREAM);
  int copies[3] = {dup(fd), fcntl(fd, F_DUPFD_CLOEXEC, 900), dup3(fd, 901, O_CLOEXEC)};
  turn_around("original", fd);
  for (int i = 0; i < 3; i++) turn_around("copy", copies[i]);

  fd = connected_socket(AF_INET, SOCK_STREAM);
  pid_t child = fork();
  int status = 0;
  if (child == 0) {
    turn_around("child", fd);
    _exit(is_reached() ? 9 : 0);
  }
  waitpid(child, &status, 0);
  if (status != 0) reached(), note("child reached");
  turn_around("parent", fd);

  fd = connected_socket(AF_INET, SOCK_STREAM);
  child = fork();
  if (child == 0) {
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    freopen("/dev/null", "w", stdout);
    execl("/proc/self/exe", argv[0], number, NULL);
    _exit(8);
  }
  waitpid(child, &status, 0);
  if (status != 0) reached(), note("after exec: status %d", status);

  /* A child that shares the table closes and reopens the number. */
  fd = refused_socket(AF_INET);
  int copy = dup(fd);
  dup2(socket(AF_UNIX, SOCK_STREAM, 0), fd);
  turn_around("refused copy", copy);
  return finish();
}
