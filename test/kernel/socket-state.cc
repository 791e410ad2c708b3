// How native/switch/tcp_socket.cc tells the state of a TCP socket without changing it: poll(2) says
// POLLHUP in state CLOSE, and an address of the wrong family is refused with EAFNOSUPPORT only by a
// socket that would have connected.
#include "support.h"

static short events(int fd) {
  pollfd state{fd, 0, 0};
  ::poll(&state, 1, 0);
  return state.revents;
}

static int probe(int fd) {
  sockaddr_storage wrong{};
  wrong.ss_family = AF_INET6;
  return ::connect(fd, reinterpret_cast<sockaddr*>(&wrong), sizeof(sockaddr_in6)) == 0 ? 0 : errno;
}

int main() {
  enter_namespaces();
  int port = 0;
  int listener = listen_on("127.0.0.1", port);
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  expect((events(fd) & POLLHUP) != 0, "fresh: POLLHUP");
  expect(probe(fd) == EAFNOSUPPORT, "fresh: EAFNOSUPPORT");
  expect(connect_to(fd, v4("127.0.0.1", port)) == 0, "the probe leaves it connectable");
  expect((events(fd) & (POLLHUP | POLLERR)) == 0, "connected: no POLLHUP");
  expect(probe(fd) == EISCONN, "connected: EISCONN");
  int peer = ::accept(listener, nullptr, nullptr);
  linger abort{1, 0};
  ::setsockopt(peer, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
  ::close(peer);
  char byte = 0;
  expect(::read(fd, &byte, 1) < 0 && errno == ECONNRESET, "the connection is reset");
  expect((events(fd) & POLLHUP) != 0, "ended: POLLHUP as well");
  expect(probe(fd) == EISCONN, "ended: EISCONN, which tells it from a fresh one");
  int refused = ::socket(AF_INET, SOCK_STREAM, 0);
  ::close(listener);
  expect(connect_to(refused, v4("127.0.0.1", port)) == ECONNREFUSED, "another is refused");
  expect((events(refused) & POLLHUP) != 0 && probe(refused) == EAFNOSUPPORT,
         "refused and told so: like a fresh one");
  return finish();
}
