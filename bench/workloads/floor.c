// probe floor COMMAND...: the least that switching by seccomp notification can cost.
//
// Runs the command in a new network namespace, with a filter that reports connect(2), and serves its notifications with the fewest
// system calls that make a switched connection: the address is read, a socket is made and connected, and put at the number. No
// option is copied, no destination judged, nothing is pinned, no epoll set is looked after, and nothing is checked: programs
// break, and the host's loopback is open. What this reaches is the limit for every product that works this way. AF_UNIX and the
// command's own loopback are continued at once.
//
// Needs root in the user namespace that owns the network namespace, as in a container with --privileged --network=host.
#define _GNU_SOURCE // unshare, process_vm_readv
#include "floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

// Numbers that older headers lack.
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, uint64_t) // Linux 6.6
#endif
#define SYNC_WAKE_UP 1UL                                       // SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define WAIT_KILLABLE (1UL << 5)                               // SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, Linux 5.19

static void die(const char *what) {
  fprintf(stderr, "probe floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

void enter_new_network(void) {
  if (unshare(CLONE_NEWNET) != 0) die("unshare CLONE_NEWNET (needs CAP_SYS_ADMIN)");
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0) die("ioctl SIOCSIFFLAGS");
  close(fd);
}

static int report_connect(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_connect, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = {sizeof code / sizeof *code, code};
  const unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | WAIT_KILLABLE;
  const int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (listener < 0) die("seccomp");
  return listener;
}

static int local(const struct sockaddr_storage *address) {
  const struct sockaddr_in *in = (const struct sockaddr_in *)address;
  return address->ss_family != AF_INET || ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

// 0 or the errno of the connect. The caller has the connected socket then.
static int switch_socket(int listener, const struct seccomp_notif *call, int process,
                         const struct sockaddr_storage *address, socklen_t length) {
  const int number = (int)call->data.args[0];
  const int old = (int)syscall(SYS_pidfd_getfd, process, number, 0);
  if (old < 0) return errno;
  const int flags = fcntl(old, F_GETFL) & O_NONBLOCK ? SOCK_NONBLOCK : 0;
  const int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  const int error = connect(fd, (const struct sockaddr *)address, length) == 0 ? 0 : errno;
  struct seccomp_notif_addfd put = {.id = call->id,
                                    .flags = SECCOMP_ADDFD_FLAG_SETFD,
                                    .srcfd = (uint32_t)fd,
                                    .newfd = (uint32_t)number,
                                    .newfd_flags = O_CLOEXEC};
  ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &put);
  close(fd);
  close(old);
  return error;
}

static void serve(int listener) {
  int process = -1;
  uint32_t pid = 0;
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP); // slower without, but the same
  for (;;) {
    struct seccomp_notif call = {0};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) {
      if (errno != ENOENT && errno != EINTR) die("ioctl SECCOMP_IOCTL_NOTIF_RECV");
      continue;
    }
    struct sockaddr_storage address = {0};
    const socklen_t length = (socklen_t)call.data.args[2];
    const struct iovec here = {&address, length < sizeof address ? length : sizeof address};
    const struct iovec there = {(void *)(uintptr_t)call.data.args[1], here.iov_len};
    process_vm_readv((pid_t)call.pid, &here, 1, &there, 1, 0);
    struct seccomp_notif_resp answer = {.id = call.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    if (!local(&address)) {
      if (pid != call.pid) {
        if (process >= 0) close(process);
        process = (int)syscall(SYS_pidfd_open, call.pid, O_EXCL); // PIDFD_THREAD, Linux 6.9
        if (process < 0) process = (int)syscall(SYS_pidfd_open, call.pid, 0);
        pid = call.pid;
      }
      answer.flags = 0;
      answer.error = -switch_socket(listener, &call, process, &address, length);
    }
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
}

// A forked server has a descriptor table of its own, as threads of sockswitch have.
static pid_t start_server(int listener) {
  const pid_t server = fork();
  if (server < 0) die("fork");
  if (server > 0) return server;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  serve(listener);
  _exit(0);
}

int run_at_floor(char **command) {
  int numbers[2];
  if (pipe2(numbers, O_CLOEXEC) != 0) die("pipe2");
  int go[2];
  if (pipe2(go, O_CLOEXEC) != 0) die("pipe2");
  const pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) {
    enter_new_network();
    const int listener = report_connect();
    char byte = 0;
    if (write(numbers[1], &listener, sizeof listener) != sizeof listener || read(go[0], &byte, 1) != 1) die("pipe");
    close(listener);
    execvp(command[0], command);
    die(command[0]);
  }
  int number = -1;
  close(numbers[1]);
  if (read(numbers[0], &number, sizeof number) != sizeof number) return 1; // the child has said why
  const int process = (int)syscall(SYS_pidfd_open, child, 0);
  const int listener = (int)syscall(SYS_pidfd_getfd, process, number, 0);
  if (listener < 0) die("pidfd_getfd");
  const pid_t server = start_server(listener);
  close(listener);
  if (write(go[1], "", 1) != 1) die("pipe");
  int status = 0;
  waitpid(child, &status, 0);
  kill(server, SIGKILL);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
