// SO_NETNS_COOKIE (Linux 5.14) tells in which network namespace a socket lives, whoever asks. Rests
// on it: SocketIdentity in native/switch/tcp_socket.h.
#include "support.h"

constexpr int kNetnsCookie = 71;

static std::uint64_t cookie(int fd) {
  std::uint64_t value = 0;
  socklen_t length = sizeof value;
  if (::getsockopt(fd, SOL_SOCKET, kNetnsCookie, &value, &length) != 0) cannot("SO_NETNS_COOKIE");
  return value;
}

int main() {
  int outside = ::socket(AF_INET, SOCK_STREAM, 0);
  int other = ::socket(AF_INET6, SOCK_DGRAM, 0);
  std::uint64_t before = cookie(outside);
  expect(before != 0 && before == cookie(other), "sockets of one namespace have one cookie");
  enter_namespaces();
  int inside = ::socket(AF_INET, SOCK_STREAM, 0);
  expect(cookie(inside) != before, "a socket of another namespace has another");
  expect(cookie(outside) == before, "a socket keeps its cookie when its holder changes namespaces");
  return finish();
}
