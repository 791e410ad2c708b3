// What the programs of this directory share. Each shows one kernel behaviour that sockswitch rests
// on, prints what it saw, and ends with 0 (as expected), 1 (not so) or 77 (could not be tried
// here).
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

inline int failures = 0;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

inline void expect(bool as_expected, const std::string& what) {
  std::printf("%s  %s\n", as_expected ? "ok  " : "FAIL", what.c_str());
  if (!as_expected) ++failures;
}

[[noreturn]] inline void cannot(const std::string& what) {
  std::printf("skip  %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(77);
}

// Enters a user namespace, as its root, and a network namespace with loopback up.
inline void enter_namespaces() {
  auto uid = std::to_string(::getuid());
  auto gid = std::to_string(::getgid());
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) cannot("user and network namespaces");
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream("/proc/self/uid_map") << "0 " + uid + " 1";
  std::ofstream("/proc/self/gid_map") << "0 " + gid + " 1";
  int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  if (::ioctl(fd, SIOCSIFFLAGS, &request) != 0) cannot("loopback");
  ::close(fd);
}

inline void run(const std::string& command) {
  if (std::system(command.c_str()) != 0) {
    errno = ECHILD;
    cannot(command);
  }
}

inline sockaddr_in v4(const char* address, int port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  ::inet_pton(AF_INET, address, &to.sin_addr);
  return to;
}

// 0 or the errno.
inline int connect_to(int fd, const sockaddr_in& to) {
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 ? 0 : errno;
}

// A listening socket on `address`, and its port.
inline int listen_on(const char* address, int& port) {
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at = v4(address, 0);
  socklen_t length = sizeof at;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&at), length) != 0 || ::listen(fd, 8) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &length) != 0) {
    cannot("listen");
  }
  port = ntohs(at.sin_port);
  return fd;
}

inline bool arrived(int listener) {
  pollfd state{listener, POLLIN, 0};
  return ::poll(&state, 1, 300) > 0;
}

inline int finish() { return failures == 0 ? 0 : 1; }
