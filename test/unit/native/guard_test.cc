// Guarded sockets, with each means that this user has here. In a network of their own: "host" is
// the device that they are for, and has this machine's addresses; loopback has another one.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>

#include "base/errno_error.h"
#include "base/unique_fd.h"
#include "beside.h"
#include "check.h"
#include "kernel/helper.h"
#include "loopback.h"
#include "own_network.h"
#include "protocol/guard_protocol.h"
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

void disconnect(const UniqueFd& socket) {
  sockaddr unspec{};
  CHECK_EQ(::connect(socket.get(), &unspec, sizeof unspec), 0);
}

class Guarding {
 public:
  explicit Guarding(GuardSource& source) : source_(source) {}

  UniqueFd socket(const GuardUse& use, int domain = AF_INET) {
    UniqueFd fd = impatient(domain);
    UniqueFd program;
    GuardRole role;
    if (source_.means() == GuardSource::Means::kLoaded) {
      program = source_.load(use);
    } else {
      role = role_of(use);
    }
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
constexpr const char* kThisMachine6 = "fd00::1";
constexpr const char* kAnother = "198.51.100.2";
constexpr const char* kNetwork =
    "ip link set lo up && ip address add 198.51.100.2/24 dev lo && "
    "ip address add 10.1.2.3/32 dev lo && ip address add 100.64.0.1/32 dev lo && "
    "ip link add host type veth peer name wire && "
    "ip link add many type veth peer name cable && "
    "for device in host wire many cable; do ip link set $device up || exit; done && "
    "ip address add 192.0.2.1/24 dev host && "
    "{ ip address add fd00::1/64 dev host nodad || true; } && "
    "{ ip address add 2400:1::1/64 dev host nodad || true; } && "
    "{ for address in 2400::1 2001:200::1 3ffe::1 fd01::1 2001:db8::1 2002:a01:203::1 2001::1 "
    "3fff::1; do ip address add $address/128 dev lo nodad; done || true; } && "
    "for i in $(seq 1 17); do ip address add 203.0.113.$i/24 dev many || exit; done";

GuardUse client_use() { return {.device = device("host")}; }

GuardUse neighbours_client(std::uint16_t port) {
  return {.kind = GuardKind::kNeighbour, .port = port, .device = device("host")};
}

GuardUse service_on(std::uint16_t port) { return {.kind = GuardKind::kService, .port = port}; }

// An address for an IPv6 socket.
sockaddr_in6 name6(const char* address, std::uint16_t port) {
  sockaddr_in6 name{};
  name.sin6_family = AF_INET6;
  name.sin6_port = htons(port);
  std::memcpy(&name.sin6_addr, Address::parse(address)->bytes.data(), sizeof name.sin6_addr);
  return name;
}

int connect_error(const UniqueFd& socket, const sockaddr_in6& name) {
  const auto* raw = reinterpret_cast<const sockaddr*>(&name);
  return ::connect(socket.get(), raw, sizeof name) == 0 ? 0 : errno;
}

// A socket that listens for both families on a port of its own: 0 where there is no IPv6.
struct BothFamilies {
  BothFamilies() {
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    auto* name = reinterpret_cast<sockaddr*>(&any);
    if (::bind(listener.get(), name, sizeof any) != 0) return;
    CHECK_EQ(::listen(listener.get(), 16), 0);
    socklen_t length = sizeof any;
    CHECK_EQ(::getsockname(listener.get(), name, &length), 0);
    port = ntohs(any.sin6_port);
  }
  UniqueFd listener = tcp(AF_INET6);
  std::uint16_t port = 0;
};

void a_client_reaches_and_serves_nothing_on_this_machine(Guarding& guarding) {
  Loopback server(kThisMachine);
  UniqueFd client = guarding.socket(client_use());
  CHECK_EQ(server.connect(client), EINPROGRESS);
  Loopback turned(guarding.socket(client_use()), kAnother);
  CHECK_EQ(turned.connect(impatient()), EINPROGRESS);
}

// As a firewall does that leads them to this machine.
void a_client_hears_addresses_that_are_not_this_machines(Guarding& guarding) {
  Loopback server(kAnother);
  CHECK_EQ(server.connect(guarding.socket(client_use())), 0);
  CHECK_EQ(server.connect(guarding.socket({.device = device("many")})), EINPROGRESS);
}

// By whichever device they come.
void a_client_hears_no_loopback_address(Guarding& guarding) {
  Loopback server("127.0.0.2");
  CHECK_EQ(server.connect(guarding.socket({})), EINPROGRESS);
  CHECK_EQ(server.connect(guarding.socket(neighbours_client(server.port()))), EINPROGRESS);
}

// Closed ports, too.
void a_pods_client_hears_public_addresses_only(Guarding& guarding) {
  const GuardUse use{.kind = GuardKind::kPodClient, .device = device("host")};
  CHECK_EQ(Loopback(kAnother).connect(guarding.socket(use)), 0);
  for (const char* address : {"10.1.2.3", "100.64.0.1", "127.0.0.2", kThisMachine}) {
    Loopback server(address);
    CHECK_EQ(server.connect(guarding.socket(use)), EINPROGRESS);
    UniqueFd client = guarding.socket(use);
    server.close();
    CHECK_EQ(server.connect(client), EINPROGRESS);
  }
  Loopback turned(guarding.socket(use), kAnother);
  CHECK_EQ(turned.connect(impatient()), EINPROGRESS);
  // IPv4 by an IPv6 socket.
  Loopback server(kAnother);
  CHECK_EQ(connect_error(guarding.socket(use, AF_INET6), name6(kAnother, server.port())), 0);
  Loopback closed("10.1.2.3");
  CHECK_EQ(connect_error(guarding.socket(use, AF_INET6), name6("10.1.2.3", closed.port())),
           EINPROGRESS);
}

// From addresses that the device does not have.
void a_pods_client_of_ipv6_hears_public_addresses_only(Guarding& guarding) {
  const BothFamilies server;
  if (server.port == 0) return skip("this kernel has no IPv6");
  const auto tried = [&](GuardKind kind, const char* address) {
    const GuardUse use{.kind = kind, .device = device("host")};
    return connect_error(guarding.socket(use, AF_INET6), name6(address, server.port));
  };
  const auto kind = GuardKind::kPodClientV6;
  for (const char* address : {"2400::1", "2001:200::1", "3ffe::1"})
    CHECK_EQ(tried(kind, address), 0);
  for (const char* address : {"fd01::1", "2001:db8::1", "2002:a01:203::1", "2001::1", "3fff::1",
                              "::1", kThisMachine6, kAnother, "10.1.2.3", "127.0.0.1"}) {
    CHECK_EQ(tried(kind, address), EINPROGRESS);
  }
  CHECK_EQ(tried(kind, "2400:1::1"), EINPROGRESS);  // the device's own
  CHECK_EQ(tried(GuardKind::kPodClient, "2400::1"), EINPROGRESS);
  Loopback turned(guarding.socket({.kind = kind, .device = device("host")}), kAnother);
  CHECK_EQ(turned.connect(impatient()), EINPROGRESS);
}

// Whichever bit differs, as far as it was tried.
void a_pods_client_hears_one_network_only(Guarding& guarding) {
  const auto use = [](const char* network) {
    return GuardUse{.kind = GuardKind::kPodNetwork,
                    .device = device("host"),
                    .network = *parse_ipv4_block(network)};
  };
  const auto tried = [&](const char* network, const char* address) {
    return Loopback(address).connect(guarding.socket(use(network)));
  };
  for (const char* network : {"10.1.2.3", "10.1.2.2/31", "10.1.0.0/16", "10.0.0.0/7", "8.0.0.0/5"})
    CHECK_EQ(tried(network, "10.1.2.3"), 0);
  for (unsigned bit = 0; bit < 32; bit += 5) {
    const Ipv4Block other = ipv4_block(0x0A010203 ^ 1U << bit, 32);
    if (may_be_listed(other)) CHECK_EQ(tried(other.text().c_str(), "10.1.2.3"), EINPROGRESS);
  }
  for (const char* address : {kAnother, "100.64.0.1", "127.0.0.2", kThisMachine})
    CHECK_EQ(tried("10.0.0.0/8", address), EINPROGRESS);
  CHECK_EQ(tried("192.0.2.0/24", kThisMachine), EINPROGRESS);
  Loopback turned(guarding.socket(use("198.51.100.0/24")), kAnother);
  CHECK_EQ(turned.connect(impatient()), EINPROGRESS);
  Loopback server("10.1.2.3");
  const GuardUse network = use("10.1.2.0/24");
  CHECK_EQ(connect_error(guarding.socket(network, AF_INET6), name6("10.1.2.3", server.port())), 0);
}

// Closed ports look as open ones do.
void a_client_is_not_refused_by_this_machine(Guarding& guarding) {
  Loopback server(kThisMachine);
  UniqueFd client = guarding.socket(client_use());
  server.close();
  CHECK_EQ(server.connect(client), EINPROGRESS);
}

void a_client_is_guarded_in_ipv6_too(Guarding& guarding) {
  UniqueFd listener = tcp(AF_INET6);
  sockaddr_in6 name{};
  name.sin6_family = AF_INET6;
  ::inet_pton(AF_INET6, kThisMachine6, &name.sin6_addr);
  socklen_t length = sizeof name;
  auto* raw = reinterpret_cast<sockaddr*>(&name);
  if (::bind(listener.get(), raw, length) != 0) return;  // no IPv6 here
  CHECK_EQ(::listen(listener.get(), 1), 0);
  CHECK_EQ(::getsockname(listener.get(), raw, &length), 0);
  CHECK_EQ(::connect(guarding.socket(client_use(), AF_INET6).get(), raw, length), -1);
  CHECK_EQ(errno, EINPROGRESS);
  // Loopback's addresses are not this one.
  CHECK_EQ(::connect(guarding.socket({.device = device("lo")}, AF_INET6).get(), raw, length), 0);
  // IPv4 by an IPv6 socket.
  Loopback server(kThisMachine);
  in6_addr mapped{};
  std::memcpy(&mapped, Address::parse(kThisMachine)->bytes.data(), sizeof mapped);
  name.sin6_addr = mapped;
  name.sin6_port = htons(server.port());
  CHECK_EQ(::connect(guarding.socket(client_use(), AF_INET6).get(), raw, length), -1);
  CHECK_EQ(errno, EINPROGRESS);
}

// From the loopback device's addresses, which are no reason by themselves.
void a_client_hears_one_family_where_the_network_carries_one(Guarding& guarding) {
  const BothFamilies server;
  if (server.port == 0) return skip("this kernel has no IPv6");
  const sockaddr_in6 v4 = name6(kAnother, server.port);
  const sockaddr_in6 v6 = name6(kThisMachine6, server.port);
  for (const GuardKind kind : {GuardKind::kClient, GuardKind::kNeighbour}) {
    const auto made = [&](GuardFamily family) {
      return guarding.socket({.kind = kind, .device = device("lo"), .family = family}, AF_INET6);
    };
    const int own = EINPROGRESS;  // an address of "lo" itself
    CHECK_EQ(connect_error(made(GuardFamily::kBoth), v4), own);
    CHECK_EQ(connect_error(made(GuardFamily::kBoth), v6), 0);
    CHECK_EQ(connect_error(made(GuardFamily::kV6), v6), 0);
    CHECK_EQ(connect_error(made(GuardFamily::kV4), v6), EINPROGRESS);
  }
  const auto on_host = [&](GuardFamily family) {
    return guarding.socket({.device = device("host"), .family = family}, AF_INET6);
  };
  CHECK_EQ(connect_error(on_host(GuardFamily::kBoth), v4), 0);
  CHECK_EQ(connect_error(on_host(GuardFamily::kV4), v4), 0);
  CHECK_EQ(connect_error(on_host(GuardFamily::kV6), v4), EINPROGRESS);
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

sockaddr_in name4(const char* address, std::uint16_t port) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  CHECK_EQ(::inet_pton(AF_INET, address, &name.sin_addr), 1);
  return name;
}

void bind_shared(const UniqueFd& socket, const sockaddr_in& name) {
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  CHECK_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
}

// The relay's come from the published port, which nobody else can be bound to.
void a_service_anywhere_hears_loopback_addresses_from_its_own_port_only(Guarding& guarding) {
  const std::uint16_t port = Loopback().port();
  const UniqueFd service = guarding.socket({.kind = GuardKind::kServiceAnywhere, .port = port});
  bind_shared(service, name4("0.0.0.0", port));
  CHECK_EQ(::listen(service.get(), 8), 0);
  const auto reach = [&](const char* from, std::uint16_t from_port, const char* to) {
    const UniqueFd client = impatient();
    bind_shared(client, name4(from, from_port));
    const sockaddr_in name = name4(to, port);
    return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0
               ? 0
               : errno;
  };
  CHECK_EQ(reach("127.0.0.1", 0, "127.0.0.1"), EINPROGRESS);
  CHECK_EQ(reach("127.0.0.2", 0, "127.0.0.1"), EINPROGRESS);
  CHECK_EQ(reach("127.0.0.2", port, "127.0.0.1"), 0);
  CHECK_EQ(reach(kThisMachine, 0, kThisMachine), 0);
}

void guards_with(GuardSource& source) {
  Guarding guarding(source);
  a_client_reaches_and_serves_nothing_on_this_machine(guarding);
  a_client_hears_addresses_that_are_not_this_machines(guarding);
  a_client_hears_no_loopback_address(guarding);
  a_pods_client_hears_public_addresses_only(guarding);
  a_pods_client_of_ipv6_hears_public_addresses_only(guarding);
  a_pods_client_hears_one_network_only(guarding);
  a_client_is_not_refused_by_this_machine(guarding);
  a_client_is_guarded_in_ipv6_too(guarding);
  a_client_hears_one_family_where_the_network_carries_one(guarding);
  a_neighbours_client_reaches_one_port(guarding);
  a_service_serves_one_port_and_reaches_nothing(guarding);
  a_service_anywhere_hears_loopback_addresses_from_its_own_port_only(guarding);
}

template <typename Test>
void in_a_network_of_its_own(Test test) {
  in_own_network(kNetwork, test);
}

// With sockswitch-guard, where it may load programs.
template <typename Test>
void with_the_guard(Test test) {
  in_a_network_of_its_own([&] {
    GuardSource source({.program = beside_this_program("sockswitch-guard"), .socket = "/nowhere"});
    if (source.means() != GuardSource::Means::kLoaded)
      return skip("sockswitch-guard may not load programs here");
    test(source);
  });
}

TEST(a_loaded_program_guards_sockets) {
  with_the_guard([](GuardSource& source) { guards_with(source); });
}

TEST(an_attached_filter_guards_sockets) {
  in_a_network_of_its_own([] {
    GuardSource source({.program = "/nowhere", .socket = "/nowhere"});
    if (source.means() != GuardSource::Means::kClassic)
      return skip("this user may not attach filters to TCP sockets here");
    guards_with(source);
  });
}

TEST(a_guard_knows_addresses_that_the_device_gets_later) {
  with_the_guard([](GuardSource& source) {
    Guarding guarding(source);
    Loopback server(kAnother);
    CHECK_EQ(server.connect(guarding.socket(client_use())), 0);
    CHECK_EQ(std::system("ip address del 198.51.100.2/24 dev lo && "
                         "ip address add 198.51.100.2/24 dev host"),
             0);
    UniqueFd late = impatient();
    CHECK_EQ(attach_guard(late.get(), source.means(), {}, source.load(client_use(), 1).get()), 0);
    CHECK_EQ(server.connect(late), EINPROGRESS);
  });
}

// The number by which the kernel knows a loaded program.
std::string id_of(const UniqueFd& program) {
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(program.get()));
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("prog_id:")) return line;
  }
  return {};
}

TEST(a_guard_loads_one_program_for_one_thing) {
  with_the_guard([](GuardSource& source) {
    const std::string first = id_of(source.load(client_use(), 1));
    CHECK(!first.empty());
    CHECK_EQ(id_of(source.load(client_use(), 2)), first);
    CHECK_EQ(id_of(source.load({.device = device("many")}, 2)) == first, false);
  });
}

// The program itself, as anybody may start it.
class RunningGuard {
 public:
  RunningGuard() : process_(beside_this_program("sockswitch-guard"), {}, {}) {}

  Message ask(std::string_view bytes) const {
    struct iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    return process_.ask(std::span(&part, 1));
  }
  Message ask(const GuardQuestion& question) const {
    return ask(std::string_view(reinterpret_cast<const char*>(&question), sizeof question));
  }
  // 0 where the answer is a program.
  int error_of(const GuardQuestion& question) const {
    const Message answer = ask(question);
    const int error = decode_answer(answer.bytes, question.version);
    CHECK_EQ(answer.fds.size(), error == 0 ? 1U : 0U);
    return error;
  }
  std::string status() const {
    pid_t pid = 0;
    std::ifstream("/proc/thread-self/children") >> pid;
    std::ifstream file("/proc/" + std::to_string(pid) + "/status");
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  HelperProcess process_;
};

bool may_load(const RunningGuard& guard) {
  if (guard.error_of({}) == 0) return true;
  skip("sockswitch-guard may not load programs here");
  return false;
}

TEST(a_guard_takes_no_other_question) {
  const RunningGuard guard;
  for (const std::uint16_t kind : {4, 7}) CHECK_EQ(guard.error_of({.kind = kind}), EINVAL);
  CHECK_EQ(guard.error_of({.port = 80}), EINVAL);
  CHECK_EQ(guard.error_of({.kind = 2, .port = 80, .device = 1}), EINVAL);
  CHECK_EQ(guard.error_of({.kind = 6, .port = 80}), EINVAL);
  CHECK_EQ(guard.error_of({.device = -1}), EINVAL);
  CHECK_EQ(guard.error_of({.family = 3}), EINVAL);
  CHECK_EQ(guard.error_of({.kind = 2, .port = 80, .family = 1}), EINVAL);
  CHECK_EQ(guard.error_of({.reserved = 1}), EINVAL);
}

TEST(a_guard_takes_networks_that_pods_may_be_let_out_to) {
  const RunningGuard guard;
  const auto error_of = [&](GuardNetworkQuestion question) {
    question.head.version = kGuardVersionOfNetworks;
    const Message answer =
        guard.ask(std::string_view(reinterpret_cast<const char*>(&question), sizeof question));
    return decode_answer(answer.bytes, kGuardVersionOfNetworks);
  };
  CHECK_EQ(error_of({.head = {.kind = 4}}), EINVAL);
  CHECK_EQ(error_of({.head = {.kind = 3}, .network = 0x0A000000, .mask = 0xFF000000}), EINVAL);
  CHECK_EQ(error_of({.head = {.kind = 4}, .network = 0x0A000001, .mask = 0xFF000000}), EINVAL);
  CHECK_EQ(error_of({.head = {.kind = 4}, .network = 0x0A000000, .mask = 0xFF00FF00}), EINVAL);
  CHECK_EQ(error_of({.head = {.kind = 4}, .network = 0xA9FE0100, .mask = 0xFFFFFF00}), EINVAL);
  CHECK_EQ(error_of({.head = {.kind = 4}, .network = 0x7F000001, .mask = 0xFFFFFFFF}), EINVAL);
  CHECK_EQ(error_of({.head = {.kind = 4, .port = 1}, .network = 0x0A000000, .mask = 0xFF000000}),
           EINVAL);
  if (!may_load(guard)) return;
  CHECK_EQ(error_of({.head = {.kind = 4}, .network = 0x0A000000, .mask = 0xFF000000}), 0);
}

TEST(a_guard_and_a_daemon_of_other_versions_say_so) {
  const RunningGuard guard;
  CHECK_EQ(guard.error_of({.version = kGuardVersionOfNetworks + 1}), EPROTONOSUPPORT);
  // A question without a network in the version that has one.
  CHECK_EQ(guard.error_of({.version = kGuardVersionOfNetworks}), EINVAL);
  // Version 1: kind, port, no addresses.
  const Message answer = guard.ask(std::string_view("\0\0\0\0\0\0\0\0", 8));
  CHECK_EQ(helper_error(answer), EPROTONOSUPPORT);
  // What version 1 answers to a question of ours.
  const int error = EINVAL;
  const std::string_view four(reinterpret_cast<const char*>(&error), sizeof error);
  CHECK_EQ(decode_answer(four, kGuardVersion), EPROTONOSUPPORT);
  CHECK_EQ(decode_answer(std::string_view("\1", 1), kGuardVersion), EPROTONOSUPPORT);
  // What version 2 answers to a question of version 3, and that it still gets the common ones.
  const GuardAnswer older{.version = kGuardVersion, .error = EPROTONOSUPPORT};
  const std::string_view words(reinterpret_cast<const char*>(&older), sizeof older);
  CHECK_EQ(decode_answer(words, kGuardVersionOfNetworks), EPROTONOSUPPORT);
  CHECK_EQ(guard_version(encode_question({.kind = GuardKind::kPodClient})), kGuardVersion);
  CHECK_EQ(guard_version(encode_question({.kind = GuardKind::kPodNetwork})),
           kGuardVersionOfNetworks);
}

TEST(a_guard_is_confined) {
  const RunningGuard guard;
  CHECK_EQ(guard.error_of({.kind = 7}), EINVAL);
  const std::string status = guard.status();
  for (const char* line : {"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000",
                           "CapInh:\t0000000000000000", "CapAmb:\t0000000000000000"}) {
    CHECK(status.find(line) != std::string::npos);
  }
  const auto permitted = status.substr(status.find("CapPrm:"), 24);
  CHECK(permitted == "CapPrm:\t0000008000000000" || permitted == "CapPrm:\t0000000000000000");
}

TEST(a_guard_ends_when_it_has_loaded_its_fill) {
  const RunningGuard guard;
  if (!may_load(guard)) return;
  std::uint16_t port = 1;
  try {
    while (port < 1000 && !guard.ask({.kind = 2, .port = port}).end) ++port;
  } catch (const ErrnoError& error) {
    CHECK_EQ(error.error(), EPIPE);
  }
  CHECK_EQ(port, 256);
}

TEST(who_asks_a_guard_for_much_gets_a_new_one) {
  with_the_guard([](GuardSource& source) {
    for (std::uint16_t port = 1; port < 600; ++port)
      CHECK(static_cast<bool>(source.load(service_on(port))));
  });
}

// For as long as one question takes.
class JitLimit {
 public:
  explicit JitLimit(const std::string& bytes) {
    std::ifstream(kPath) >> before_;
    std::ofstream(kPath) << bytes << std::flush;
  }
  ~JitLimit() { std::ofstream(kPath) << before_ << std::flush; }
  JitLimit(const JitLimit&) = delete;
  JitLimit& operator=(const JitLimit&) = delete;

  static std::string value() {
    std::string text;
    std::ifstream(kPath) >> text;
    return text;
  }

 private:
  static constexpr const char* kPath = "/proc/sys/net/core/bpf_jit_limit";
  std::string before_;
};

TEST(a_guard_loads_nothing_beyond_the_limit_that_others_have) {
  const RunningGuard guard;
  if (!may_load(guard)) return;
  int error = 0;
  std::string limit;
  {
    const JitLimit none("4096");
    error = guard.error_of({.kind = 2, .port = 80});
    limit = JitLimit::value();
  }
  if (limit != "4096") return skip("net.core.bpf_jit_limit cannot be set here");
  CHECK_EQ(error, ENOBUFS);
  CHECK_EQ(guard.error_of({.kind = 2, .port = 80}), 0);
}

}  // namespace
