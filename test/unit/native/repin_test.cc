// sockswitch-repin, as anybody may start it: what it moves, and every other thing that it is asked.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <future>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/errno_error.h"
#include "base/unique_fd.h"
#include "beside.h"
#include "check.h"
#include "kernel/helper.h"
#include "kernel/linux_abi.h"
#include "kernel/syscalls.h"
#include "loopback.h"
#include "own_network.h"
#include "protocol/repin_protocol.h"
#include "publish/repinner.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

constexpr const char* kNetwork =
    "ip link set lo up && ip link add first type veth peer name second && "
    "ip link add third type veth peer name fourth && "
    "for device in first second third; do ip link set $device up || exit; done && "
    "ip address add 192.0.2.1/24 dev first";

class RunningRepin {
 public:
  RunningRepin() : process_(beside_this_program("sockswitch-repin"), {}, {}) {}

  int answer_to(std::string_view bytes, std::span<const int> fds) const {
    struct iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    send_message(process_.channel(), std::span(&part, 1), fds);
    RepinAnswer answer;
    CHECK_EQ(decode_repin(receive_message(process_.channel(), 64).bytes, answer), 0);
    return answer.error;
  }
  int answer_to(const RepinQuestion& question, std::span<const int> fds) const {
    return answer_to({reinterpret_cast<const char*>(&question), sizeof question}, fds);
  }
  int pin(const UniqueFd& socket, int to) const {
    const int fd = socket.get();
    return answer_to(RepinQuestion{.device = to}, std::span(&fd, 1));
  }
  bool is_able() const { return answer_to(RepinQuestion{}, {}) == 0; }

 private:
  HelperProcess process_;
};

void pin_self(const UniqueFd& socket, const char* to) {
  const int index = device(to);
  CHECK_EQ(::setsockopt(socket.get(), SOL_SOCKET, abi::kSoBindToIfindex, &index, sizeof index), 0);
}

int pin_of(const UniqueFd& socket) {
  return int_option(socket.get(), SOL_SOCKET, abi::kSoBindToIfindex).value_or(-1);
}

// A service's.
UniqueFd listening(const char* at, int domain = AF_INET) {
  UniqueFd socket = tcp(domain);
  if (*at != '\0') pin_self(socket, at);
  CHECK_EQ(::listen(socket.get(), 8), 0);
  return socket;
}

template <typename Test>
void with_repin(Test test) {
  in_own_network(kNetwork, [&] {
    const RunningRepin repin;
    if (!repin.is_able()) return skip("sockswitch-repin has no CAP_NET_RAW here");
    test(repin);
  });
}

TEST(a_listening_socket_is_pinned_to_another_device) {
  with_repin([](const RunningRepin& repin) {
    for (const int domain : {AF_INET, AF_INET6}) {
      const UniqueFd socket = listening("first", domain);
      CHECK_EQ(repin.pin(socket, device("third")), 0);
      CHECK_EQ(pin_of(socket), device("third"));
      CHECK_EQ(repin.pin(socket, device("first")), 0);
      CHECK_EQ(pin_of(socket), device("first"));
    }
  });
}

TEST(a_listening_socket_leaves_a_device_that_is_gone) {
  with_repin([](const RunningRepin& repin) {
    const UniqueFd socket = listening("third");
    CHECK_EQ(std::system("ip link del third"), 0);
    CHECK_EQ(repin.pin(socket, device("first")), 0);
    CHECK_EQ(pin_of(socket), device("first"));
  });
}

TEST(no_socket_is_pinned_to_a_device_that_is_no_outlet) {
  with_repin([](const RunningRepin& repin) {
    const UniqueFd socket = listening("first");
    const int before = pin_of(socket);
    CHECK_EQ(repin.pin(socket, device("lo")), EADDRNOTAVAIL);
    CHECK_EQ(repin.pin(socket, device("fourth")), ENETDOWN);
    CHECK_EQ(repin.pin(socket, 9999), ENODEV);
    CHECK_EQ(repin.pin(socket, 0), EINVAL);  // which would take the pin away
    CHECK_EQ(repin.pin(socket, -1), EINVAL);
    CHECK_EQ(pin_of(socket), before);
  });
}

TEST(a_socket_with_a_locked_filter_is_pinned_to_the_loopback_device_too) {
  with_repin([](const RunningRepin& repin) {
    const UniqueFd socket = listening("first");
    const int on = 1;
    CHECK_EQ(::setsockopt(socket.get(), SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on), 0);
    CHECK_EQ(repin.pin(socket, device("lo")), 0);
    CHECK_EQ(pin_of(socket), device("lo"));
    CHECK_EQ(repin.pin(socket, device("first")), 0);
  });
}

TEST(no_other_socket_is_pinned) {
  with_repin([](const RunningRepin& repin) {
    const int to = device("third");
    CHECK_EQ(repin.pin(listening(""), to), EDESTADDRREQ);
    UniqueFd idle = tcp();
    pin_self(idle, "first");
    CHECK_EQ(repin.pin(idle, to), ENOTCONN);
    const Loopback server("192.0.2.1");
    UniqueFd connected = tcp();
    CHECK_EQ(server.connect(connected), 0);
    pin_self(connected, "first");
    CHECK_EQ(repin.pin(connected, to), ENOTCONN);
    const UniqueFd udp(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    pin_self(udp, "first");
    CHECK_EQ(repin.pin(udp, to), EPROTOTYPE);
    const UniqueFd local(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_EQ(repin.pin(local, to), EAFNOSUPPORT);
    const UniqueFd raw(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
    if (raw) CHECK_EQ(repin.pin(raw, to), EPROTOTYPE);
    std::array<int, 2> pipe{};
    CHECK_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    const UniqueFd end(pipe[0]);
    const UniqueFd other_end(pipe[1]);
    CHECK_EQ(repin.pin(end, to), ENOTSOCK);
    for (const UniqueFd* socket : {&udp, &std::as_const(idle), &std::as_const(connected)}) {
      CHECK_EQ(pin_of(*socket), device("first"));
    }
  });
}

TEST(no_socket_of_another_user_or_network_is_pinned) {
  with_repin([](const RunningRepin& repin) {
    const UniqueFd others = listening("first");
    if (::geteuid() == 0) {
      CHECK_EQ(::fchown(others.get(), 1, 1), 0);
      CHECK_EQ(repin.pin(others, device("third")), EACCES);
    }
    const UniqueFd elsewhere = std::async(std::launch::async, [] {
                                 CHECK_EQ(::unshare(CLONE_NEWNET), 0);
                                 CHECK_EQ(std::system(kNetwork), 0);
                                 return listening("first");
                               }).get();
    CHECK_EQ(repin.pin(elsewhere, device("third")), EXDEV);
  });
}

TEST(sockswitch_repin_takes_no_other_question) {
  in_own_network(kNetwork, [] {
    const RunningRepin repin;
    const UniqueFd socket = listening("first");
    const std::array<int, 2> two{socket.get(), socket.get()};
    const RepinQuestion good{.device = device("third")};
    const std::string bytes(reinterpret_cast<const char*>(&good), sizeof good);
    CHECK_EQ(repin.answer_to(good, {}), EINVAL);
    CHECK_EQ(repin.answer_to(good, two), EINVAL);
    CHECK_EQ(repin.answer_to(bytes + "more", {two.data(), 1}), EPROTONOSUPPORT);
    CHECK_EQ(repin.answer_to(bytes.substr(1), {two.data(), 1}), EPROTONOSUPPORT);
    CHECK_EQ(repin.answer_to(std::string(100, 'x'), {two.data(), 1}), EINVAL);
    RepinQuestion other = good;
    other.version = kRepinVersion + 1;
    CHECK_EQ(repin.answer_to(other, {two.data(), 1}), EPROTONOSUPPORT);
    other = good;
    other.magic = 0;
    CHECK_EQ(repin.answer_to(other, {two.data(), 1}), EPROTONOSUPPORT);
    CHECK_EQ(pin_of(socket), device("first"));
  });
}

TEST(sockswitch_repin_is_confined) {
  const RunningRepin repin;
  repin.is_able();
  pid_t pid = 0;
  std::ifstream("/proc/thread-self/children") >> pid;
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  const std::string status{std::istreambuf_iterator<char>(file), {}};
  for (const char* line : {"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000",
                           "CapInh:\t0000000000000000", "CapAmb:\t0000000000000000"}) {
    CHECK(status.find(line) != std::string::npos);
  }
  const auto permitted = status.substr(status.find("CapPrm:"), 24);
  CHECK(permitted == "CapPrm:\t0000000000002000" || permitted == "CapPrm:\t0000000000000000");
}

TEST(without_sockswitch_repin_there_is_a_reason) {
  Repinner repinner({.program = "/nowhere", .socket = "/nowhere"});
  CHECK_EQ(repinner.obstacle(), ENOENT);
  CHECK_EQ(repinner.pin(tcp().get(), 1), ENOENT);
}

}  // namespace
