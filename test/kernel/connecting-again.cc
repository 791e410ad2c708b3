// connect(2) on a socket that is connecting: EALREADY without looking at the address, and for a
// blocking socket a wait for the first connect's outcome. AF_UNSPEC alone is looked at before.
// Rests on it: native/notify/connect.cc, which starts the connect itself and lets a blocking
// caller's go on.
#include "support.h"

int main() {
  enter_namespaces();
  // A device that swallows everything: connects stay in progress.
  run("ip link add ve0 type veth peer name ve1 && ip addr add 192.0.2.1/24 dev ve0 && "
      "ip link set ve0 up && ip link set ve1 up && "
      "ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev ve0");
  int port = 0;
  int listener = listen_on("127.0.0.1", port);
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  expect(connect_to(fd, v4("192.0.2.9", 80)) == EINPROGRESS, "a first connect is in progress");
  expect(connect_to(fd, v4("127.0.0.1", port)) == EALREADY && !arrived(listener),
         "a second one, to an address that listens, is EALREADY and goes nowhere");
  ::fcntl(fd, F_SETFL, 0);
  timeval limit{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  int error = connect_to(fd, v4("127.0.0.1", port));
  expect((error == EALREADY || error == EINPROGRESS) && !arrived(listener),
         std::string("a blocking one waits as SO_SNDTIMEO says and goes nowhere: ") +
             std::strerror(error));
  sockaddr_in peer{};
  socklen_t length = sizeof peer;
  expect(::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0,
         "it is not connected");
  sockaddr unspecified{};
  expect(::connect(fd, &unspecified, sizeof unspecified) == 0, "AF_UNSPEC ends the connect");
  return finish();
}
