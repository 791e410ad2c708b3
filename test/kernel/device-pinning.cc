// A socket bound to a device (SO_BINDTOIFINDEX, Linux 5.0; unprivileged since 5.7) does not reach
// loopback, stays so after a disconnect, and cannot be freed by a holder without CAP_NET_RAW. It
// does reach the host's own address on that device, also by the name 0.0.0.0, and (not shown: it
// depends on ARP) 127.0.0.1 on a host that has route_localnet and accept_local set, over a link
// that leads back to it: no part of the promise may rest on the contrary. Rests on it:
// native/notify/host_socket.cc and the threat model.
#include "support.h"

constexpr int kBindToIfindex = 62;

// What a holder without any capability in this network namespace sees: a child in a new user
// namespace.
template <typename Body>
void unprivileged(Body body) {
  std::fflush(stdout);
  if (pid_t child = ::fork(); child > 0) {
    int status = 0;
    ::waitpid(child, &status, 0);
    failures += WEXITSTATUS(status);
    return;
  }
  failures = 0;
  if (::unshare(CLONE_NEWUSER) != 0) cannot("nested user namespace");
  body();
  std::fflush(stdout);
  ::_exit(failures);
}

void show(const std::string& settings) {
  int port = 0;
  int listener = listen_on("0.0.0.0", port);
  int device = static_cast<int>(::if_nametoindex("ve0"));

  for (const char* address : {"127.0.0.1", "127.9.9.9", "0.0.0.0", "192.0.2.1"}) {
    bool loopback = std::strncmp(address, "127.", 4) == 0;
    const char* reaches = loopback ? " does not reach " : " does reach ";
    int plain = ::socket(AF_INET, SOCK_STREAM, 0);
    expect(connect_to(plain, v4(address, port)) == 0 && arrived(listener),
           settings + "a plain socket reaches " + address);
    ::close(::accept(listener, nullptr, nullptr));
    ::close(plain);
    unprivileged([&] {
      int pinned = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      expect(::setsockopt(pinned, SOL_SOCKET, kBindToIfindex, &device, sizeof device) == 0,
             "a socket is pinned without privilege");
      int error = connect_to(pinned, v4(address, port));
      bool there = error == 0 || error == ECONNREFUSED || arrived(listener);
      expect(there != loopback, settings + "pinned, it" + reaches + address);
      if (there) ::close(::accept(listener, nullptr, nullptr));
      sockaddr unspecified{};
      ::connect(pinned, &unspecified, sizeof unspecified);
      int bound = 0;
      socklen_t length = sizeof bound;
      ::getsockopt(pinned, SOL_SOCKET, kBindToIfindex, &bound, &length);
      expect(bound == device, "disconnected by AF_UNSPEC it is still pinned");
      error = connect_to(pinned, v4(address, port));
      there = error == 0 || arrived(listener);
      expect(there != loopback, settings + "and still" + reaches + address);
      if (there) ::close(::accept(listener, nullptr, nullptr));
      int none = 0;
      expect(::setsockopt(pinned, SOL_SOCKET, kBindToIfindex, &none, sizeof none) != 0 &&
                 errno == EPERM,
             "freeing it by index is EPERM");
      expect(::setsockopt(pinned, SOL_SOCKET, SO_BINDTODEVICE, "", 0) != 0 && errno == EPERM,
             "freeing it by name is EPERM");
      expect(::setsockopt(pinned, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) != 0 && errno == EPERM,
             "pinning it to lo instead is EPERM");
      int datagram = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
      ::setsockopt(datagram, SOL_SOCKET, kBindToIfindex, &device, sizeof device);
      sockaddr_in server = v4("0.0.0.0", 0);
      int receiver = ::socket(AF_INET, SOCK_DGRAM, 0);
      socklen_t size = sizeof server;
      ::bind(receiver, reinterpret_cast<sockaddr*>(&server), size);
      ::getsockname(receiver, reinterpret_cast<sockaddr*>(&server), &size);
      sockaddr_in to = v4(address, ntohs(server.sin_port));
      ::sendto(datagram, "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
      expect(arrived(receiver) != loopback, settings + "pinned, UDP" + reaches + address);
    });
  }
  ::close(listener);
}

int main() {
  enter_namespaces();
  run("ip link add ve0 type veth peer name ve1 && ip addr add 192.0.2.1/24 dev ve0 && "
      "ip link set ve0 up && ip link set ve1 up && ip route add default dev ve0");
  show("");
  run("echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet");  // as kube-proxy does
  show("with route_localnet: ");
  return finish();
}
