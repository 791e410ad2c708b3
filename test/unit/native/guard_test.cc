// Guarded sockets on this machine's loopback, with each means that this user has here.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>

#include "check.h"
#include "kernel/control_thread.h"
#include "kernel/unique_fd.h"
#include "loopback.h"
#include "switch/socket_guard.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

// What waits in vain says EINPROGRESS soon.
UniqueFd impatient() {
  UniqueFd fd = tcp();
  timeval patience{0, 300'000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  return fd;
}

std::string beside_this_program(const char* name) {
  std::array<char, 4096> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  CHECK(length > 0);
  const std::string self(path.data(), static_cast<std::size_t>(length));
  return self.substr(0, self.rfind('/') + 1) + name;
}

void disconnect(const UniqueFd& socket) {
  sockaddr unspec{};
  CHECK_EQ(::connect(socket.get(), &unspec, sizeof unspec), 0);
}

class Guarding {
 public:
  explicit Guarding(GuardSource& source) : guard_(source, control_) {}

  UniqueFd socket(const GuardRole& role) {
    UniqueFd fd = impatient();
    CHECK_EQ(guard_.attach(fd.get(), role), 0);
    int off = 0;
    CHECK_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_DETACH_FILTER, &off, sizeof off), -1);
    CHECK_EQ(errno, EPERM);
    return fd;
  }

 private:
  ControlThread control_;
  SocketGuard guard_;
};

void a_client_reaches_and_serves_nothing_on_this_machine(Guarding& guarding) {
  Loopback server;
  UniqueFd client = guarding.socket({});
  CHECK_EQ(server.connect(client), EINPROGRESS);
  Loopback turned(guarding.socket({}));
  CHECK_EQ(turned.connect(impatient()), EINPROGRESS);
}

void a_neighbours_client_reaches_one_port(Guarding& guarding) {
  Loopback neighbour;
  Loopback another;
  UniqueFd client = guarding.socket(GuardRole::neighbour(neighbour.port()));
  CHECK_EQ(neighbour.connect(client), 0);
  disconnect(client);
  CHECK_EQ(another.connect(client), EINPROGRESS);
  Loopback turned(guarding.socket(GuardRole::neighbour(neighbour.port())));
  CHECK_EQ(turned.connect(impatient()), EINPROGRESS);
}

void a_service_serves_one_port_and_reaches_nothing(Guarding& guarding) {
  std::uint16_t port = Loopback().port();  // free again
  Loopback another;
  UniqueFd socket = guarding.socket(GuardRole::service(port));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  CHECK_EQ(::bind(socket.get(), name, sizeof address), 0);
  CHECK_EQ(::listen(socket.get(), 8), 0);
  UniqueFd client = impatient();
  CHECK_EQ(::connect(client.get(), name, sizeof address), 0);
  UniqueFd accepted(::accept(socket.get(), nullptr, nullptr));
  CHECK(static_cast<bool>(accepted));
  CHECK_EQ(::write(client.get(), "hello", 5), 5);
  std::array<char, 8> text{};
  CHECK_EQ(::read(accepted.get(), text.data(), text.size()), 5);
  // Turned around: what it accepted, and itself.
  timeval patience{0, 300'000};
  ::setsockopt(accepted.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  disconnect(accepted);
  CHECK_EQ(another.connect(accepted), EINPROGRESS);
  CHECK_EQ(::shutdown(socket.get(), SHUT_RDWR), 0);
  CHECK_EQ(another.connect(socket), EINPROGRESS);
  // On a port that is not the published one.
  Loopback turned(guarding.socket(GuardRole::service(port)));
  CHECK_EQ(turned.connect(impatient()), EINPROGRESS);
}

void guards_with(GuardSource& source) {
  Guarding guarding(source);
  a_client_reaches_and_serves_nothing_on_this_machine(guarding);
  a_neighbours_client_reaches_one_port(guarding);
  a_service_serves_one_port_and_reaches_nothing(guarding);
}

TEST(a_loaded_program_guards_sockets) {
  GuardSource source({.program = beside_this_program("sockswitch-guard"), .socket = "/nowhere"});
  if (source.means() != GuardSource::Means::kLoaded) {
    CHECK(::geteuid() != 0);
    std::printf("skipped: sockswitch-guard may not load programs here\n");
    return;
  }
  guards_with(source);
}

TEST(an_attached_filter_guards_sockets) {
  GuardSource source({.program = "/nowhere", .socket = "/nowhere"});
  if (source.means() != GuardSource::Means::kClassic) {
    CHECK(::geteuid() != 0);
    std::printf("skipped: this user may not attach filters to TCP sockets here\n");
    return;
  }
  guards_with(source);
}

}  // namespace
