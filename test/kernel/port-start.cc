// A file under /proc/sys/net shows the network namespace of whoever opened it, for good, and the
// value of the moment. bind(2) asks for the privilege in the socket's namespace. Rests on it:
// native/notify/port_privilege.h.
#include "support.h"

static std::string value(int fd) {
  char text[32] = "";
  ::pread(fd, text, sizeof text - 1, 0);
  return std::string(text, std::strcspn(text, "\n"));
}

int main() {
  const char* path = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
  int outside = ::open(path, O_RDONLY);
  std::string before = value(outside);
  enter_namespaces();
  int inside = ::open(path, O_RDWR);
  if (inside < 0) cannot(path);
  expect(::pwrite(inside, "77", 2, 0) == 2 && value(inside) == "77", "changed inside, read anew");
  expect(value(outside) == before, "the file opened outside shows the namespace outside");
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  constexpr unsigned long kSocketNetns = 0x894C;
  expect(::ioctl(fd, kSocketNetns) >= 0, "SIOCGSKNS gives the namespace to its owner");
  return finish();
}
