// Guarded sockets, with each means that this user has here. In a network of their own, whose
// loopback device has an address that is none of 127.0.0.0/8.
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <string>
#include <vector>

#include "check.h"
#include "kernel/unique_fd.h"
#include "loopback.h"
#include "switch/socket_guard.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

// What waits in vain says EINPROGRESS soon.
UniqueFd impatient(int domain = AF_INET) {
  UniqueFd fd = tcp(domain);
  timeval patience{0, 300'000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  return fd;
}

std::string beside_this_program(const char* name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

void disconnect(const UniqueFd& socket) {
  sockaddr unspec{};
  CHECK_EQ(::connect(socket.get(), &unspec, sizeof unspec), 0);
}

class Guarding {
 public:
  explicit Guarding(GuardSource& source) : source_(source) {}

  UniqueFd socket(const GuardRole& role, int domain = AF_INET) {
    UniqueFd fd = impatient(domain);
    UniqueFd program;
    if (source_.means() == GuardSource::Means::kLoaded) program = source_.load(role);
    CHECK_EQ(attach_guard(fd.get(), source_.means(), role, program.get()), 0);
    int off = 0;
    CHECK_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_DETACH_FILTER, &off, sizeof off), -1);
    CHECK_EQ(errno, EPERM);
    return fd;
  }

 private:
  GuardSource& source_;
};

constexpr const char* kThisMachine = "192.0.2.1";
constexpr const char* kAnother = "192.0.2.2";
const std::vector<Address> kOwn{*Address::parse(kThisMachine), *Address::parse("::1"),
                                *Address::parse("fd00::1")};
const GuardRole kClient{.own = kOwn};

GuardRole neighbours_client(std::uint16_t port) {
  return {.kind = GuardRole::Kind::kNeighbour, .port = port, .own = kOwn};
}

GuardRole service_on(std::uint16_t port) {
  return {.kind = GuardRole::Kind::kService, .port = port};
}

void a_client_reaches_and_serves_nothing_on_this_machine(Guarding& guarding) {
  Loopback server(kThisMachine);
  UniqueFd client = guarding.socket(kClient);
  CHECK_EQ(server.connect(client), EINPROGRESS);
  Loopback turned(guarding.socket(kClient), kAnother);
  CHECK_EQ(turned.connect(impatient()), EINPROGRESS);
}

// As a firewall does that leads them to this machine.
void a_client_hears_addresses_that_are_not_this_machines(Guarding& guarding) {
  Loopback server(kAnother);
  CHECK_EQ(server.connect(guarding.socket(kClient)), 0);
  GuardRole many = kClient;
  many.own.resize(kMaxOwnAddresses + 1);
  CHECK_EQ(server.connect(guarding.socket(many)), EINPROGRESS);
}

// By whichever device they come.
void a_client_hears_no_loopback_address(Guarding& guarding) {
  Loopback server("127.0.0.2");
  CHECK_EQ(server.connect(guarding.socket({})), EINPROGRESS);
  CHECK_EQ(server.connect(guarding.socket(neighbours_client(server.port()))), EINPROGRESS);
}

// Closed ports look as open ones do.
void a_client_is_not_refused_by_this_machine(Guarding& guarding) {
  Loopback server(kThisMachine);
  UniqueFd client = guarding.socket(kClient);
  server.close();
  CHECK_EQ(server.connect(client), EINPROGRESS);
}

void a_client_is_guarded_in_ipv6_too(Guarding& guarding) {
  UniqueFd listener = tcp(AF_INET6);
  sockaddr_in6 name{};
  name.sin6_family = AF_INET6;
  name.sin6_addr = in6addr_loopback;
  socklen_t length = sizeof name;
  auto* raw = reinterpret_cast<sockaddr*>(&name);
  if (::bind(listener.get(), raw, length) != 0) return;  // no IPv6 here
  CHECK_EQ(::listen(listener.get(), 1), 0);
  CHECK_EQ(::getsockname(listener.get(), raw, &length), 0);
  CHECK_EQ(::connect(guarding.socket(kClient, AF_INET6).get(), raw, length), -1);
  CHECK_EQ(errno, EINPROGRESS);
  GuardRole another{.own = {*Address::parse("::2"), *Address::parse("fd00::1")}};
  CHECK_EQ(::connect(guarding.socket(another, AF_INET6).get(), raw, length), 0);
  // IPv4 by an IPv6 socket.
  Loopback server(kThisMachine);
  in6_addr mapped{};
  std::memcpy(&mapped, Address::parse(kThisMachine)->bytes.data(), sizeof mapped);
  name.sin6_addr = mapped;
  name.sin6_port = htons(server.port());
  CHECK_EQ(::connect(guarding.socket(kClient, AF_INET6).get(), raw, length), -1);
  CHECK_EQ(errno, EINPROGRESS);
}

void a_neighbours_client_reaches_one_port(Guarding& guarding) {
  Loopback neighbour(kThisMachine);
  Loopback another(kThisMachine);
  UniqueFd client = guarding.socket(neighbours_client(neighbour.port()));
  CHECK_EQ(neighbour.connect(client), 0);
  disconnect(client);
  CHECK_EQ(another.connect(client), EINPROGRESS);
  Loopback turned(guarding.socket(neighbours_client(neighbour.port())));
  CHECK_EQ(turned.connect(impatient()), EINPROGRESS);
}

void a_service_serves_one_port_and_reaches_nothing(Guarding& guarding) {
  std::uint16_t port = Loopback().port();  // free again
  Loopback another;
  UniqueFd socket = guarding.socket(service_on(port));
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
  Loopback turned(guarding.socket(service_on(port)));
  CHECK_EQ(turned.connect(impatient()), EINPROGRESS);
}

void guards_with(GuardSource& source) {
  Guarding guarding(source);
  a_client_reaches_and_serves_nothing_on_this_machine(guarding);
  a_client_hears_addresses_that_are_not_this_machines(guarding);
  a_client_hears_no_loopback_address(guarding);
  a_client_is_not_refused_by_this_machine(guarding);
  a_client_is_guarded_in_ipv6_too(guarding);
  a_neighbours_client_reaches_one_port(guarding);
  a_service_serves_one_port_and_reaches_nothing(guarding);
}

// In a CI, where it is root's, nothing is missing.
void skip(const char* reason) {
  CHECK(::geteuid() != 0 || std::getenv("CI") == nullptr);
  std::printf("skipped: %s\n", reason);
}

// Of a thread that ends with it.
void in_a_network_of_its_own(GuardSource& source) {
  std::async(std::launch::async, [&] {
    if (::unshare(CLONE_NEWNET) != 0) return skip("this user may not make a network namespace");
    CHECK_EQ(std::system("ip link set lo up && ip address add 192.0.2.1/24 dev lo && "
                         "ip address add 192.0.2.2/24 dev lo"),
             0);
    guards_with(source);
  }).get();
}

TEST(a_loaded_program_guards_sockets) {
  GuardSource source({.program = beside_this_program("sockswitch-guard"), .socket = "/nowhere"});
  if (source.means() != GuardSource::Means::kLoaded) {
    return skip("sockswitch-guard may not load programs here");
  }
  in_a_network_of_its_own(source);
}

TEST(an_attached_filter_guards_sockets) {
  GuardSource source({.program = "/nowhere", .socket = "/nowhere"});
  if (source.means() != GuardSource::Means::kClassic) {
    return skip("this user may not attach filters to TCP sockets here");
  }
  in_a_network_of_its_own(source);
}

}  // namespace
