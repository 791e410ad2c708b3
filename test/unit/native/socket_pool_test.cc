// Host sockets that are made ahead, and devices that come and go (switch/socket_pool.h).
#include "switch/socket_pool.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <filesystem>
#include <future>
#include <iterator>
#include <string>
#include <thread>
#include <utility>

#include "check.h"
#include "kernel/control_thread.h"
#include "loopback.h"
#include "own_network.h"
#include "path/host_network.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

// 198.51.100.2 is this machine's; 192.0.2.9 would be reached by "host".
constexpr const char* kNetwork =
    "ip link set lo up && ip address add 198.51.100.2/24 dev lo && "
    "ip link add host index 77 type veth peer name wire && "
    "ip link set host up && ip link set wire up && ip address add 192.0.2.1/24 dev host";
constexpr const char* kAgain =
    "ip link add host index 77 type veth peer name wire && "
    "ip link set host up && ip link set wire up && ip address add 192.0.2.1/24 dev host";
constexpr int kDevice = 77;

int connect_to(const char* address, std::uint16_t port, const UniqueFd& socket) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  CHECK_EQ(::inet_pton(AF_INET, address, &to.sin_addr), 1);
  const auto* name = reinterpret_cast<const sockaddr*>(&to);
  return ::connect(socket.get(), name, sizeof to) == 0 ? 0 : errno;
}

// Keeps a watcher from noticing anything until the end.
class Held {
 public:
  explicit Held(Watcher& watcher)
      : watcher_(watcher), event_(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)) {
    watch_ = watcher_.add(event_.get(), EPOLLIN, [this] {
      held_.set_value();
      released_.get_future().wait();
      return false;
    });
    held_.get_future().wait();
  }
  ~Held() {
    released_.set_value();
    watcher_.remove(watch_);
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  Watcher& watcher_;
  UniqueFd event_;
  std::promise<void> held_;
  std::promise<void> released_;
  std::uint64_t watch_ = 0;
};

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

void wait_for_change(const HostNetwork& network, std::uint64_t generation) {
  while (network.generation() == generation) std::this_thread::yield();
}

TEST(a_pool_survives_its_device) {
  in_own_network(kNetwork, [] {
    GuardSource source({.program = "/nowhere", .socket = "/nowhere"}, false);
    Watcher watcher;
    HostNetwork network(watcher);
    ControlThread control;
    SocketGuard guard(source, control, network);
    const OptionBaselines defaults;
    SocketPool pool(guard, network, defaults);
    const auto take = [&] { return pool.take({.domain = AF_INET, .device = kDevice}, defaults); };

    CHECK_EQ(connect_to("192.0.2.9", 80, take().fd), EINPROGRESS);
    CHECK(pool.wants_more());
    pool.refill(defaults);
    CHECK(!pool.wants_more());

    const std::uint64_t generation = network.generation();
    {
      // The device has gone and nobody has noticed: sockets lead nowhere, least of all elsewhere.
      const Held held(watcher);
      const Loopback server("198.51.100.2");
      CHECK_EQ(std::system("ip link delete host"), 0);
      for (const auto& [address, port] :
           {std::pair{"192.0.2.9", std::uint16_t{80}}, std::pair{"198.51.100.2", server.port()}}) {
        const MadeSocket stale = take();
        CHECK(static_cast<bool>(stale.fd));
        const int error = connect_to(address, port, stale.fd);
        CHECK(error != 0 && error != EINPROGRESS);
      }
    }
    wait_for_change(network, generation);
    // Noticed: what was made ahead is dropped. New ones lead nowhere either.
    const std::size_t descriptors = open_descriptors();
    const int error = connect_to("192.0.2.9", 80, take().fd);
    CHECK(error != 0 && error != EINPROGRESS);
    CHECK(open_descriptors() + 4 < descriptors);

    const std::uint64_t without = network.generation();
    CHECK_EQ(std::system(kAgain), 0);
    wait_for_change(network, without);
    CHECK_EQ(connect_to("192.0.2.9", 80, take().fd), EINPROGRESS);
  });
}

}  // namespace
