// sockswitch-keeper: keeps the seccomp listeners of all containers while daemons come and go.
//
// A listener that nobody holds any more makes every trapped call in its container fail with ENOSYS.
// So each one is received here first and held until its last process has ended; the daemon works on
// duplicates.
//
// One thread, one epoll set, no blocking call once it serves. Two sockets in its runtime directory
// (runtime_directory.h): listener.sock for OCI runtimes (peers.h), keeper.sock for the daemon
// (daemon_link.h); between them the listeners (listeners.h).
//
// With each listener goes a record (kernel/listener_record.h), made here: it has the state, and
// what one daemon leaves to the next. The keeper itself may be replaced, too:
//
//   by the daemon  when this one has died, or is of another version: the new one is given the
//                  listening socket, on which runtimes went on connecting, as an inherited
//                  descriptor, and the listeners by kHold. Runtimes that had connected and have not
//                  sent their state are handed over through that socket (peers.h).
//   by systemd     where it runs as a unit: all of these are in the unit's descriptor store
//                  (descriptor_store.h)
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/errno_error.h"
#include "programs/keeper/daemon_link.h"
#include "programs/keeper/descriptor_store.h"
#include "programs/keeper/listeners.h"
#include "programs/keeper/peers.h"
#include "programs/keeper/poller.h"
#include "programs/keeper/refusals.h"
#include "programs/keeper/runtime_directory.h"

namespace sockswitch::keeper {
namespace {

using Clock = std::chrono::steady_clock;

// Descriptors beside peers and listeners: standard streams, directory, lock, sockets, daemon, a
// newcomer.
constexpr std::size_t kOwnDescriptors = 16;
constexpr int kUsageStatus = 2;
constexpr int kReplacedStatus = 75;  // EX_TEMPFAIL: systemd starts the next one

void raise_descriptor_limit() {
  struct rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) throw_errno("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

UniqueFd termination_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw_errno("signalfd");
  return fd;
}

class Keeper {
 public:
  // `listening`: see RuntimeDirectory::listen(); `stored`: what systemd kept for us.
  Keeper(const std::string& runtime_directory, UniqueFd listening,
         std::vector<DescriptorStore::Entry> stored)
      : directory_(runtime_directory),
        signals_(termination_signals()),
        listeners_(poller_, store_, refusals_),
        peers_(directory_.listen(kListenerSocketName, SOCK_STREAM, std::move(listening)), poller_,
               listeners_, refusals_),
        daemon_(directory_.listen("keeper.sock", SOCK_SEQPACKET), peers_.listening_socket(),
                poller_, listeners_, refusals_) {
    raise_descriptor_limit();
    poller_.add(signals_.get(), EPOLLIN, tag(Source::kSignals));
    const std::array<int, 1> listening_fd = {peers_.listening_socket()};
    store_.remove(kListenerSocketName);
    store_.add(kListenerSocketName, listening_fd);
    listeners_.take_back(std::move(stored));
    store_.ready();
  }

  void run() {
    std::array<struct epoll_event, 64> events = {};
    while (!has_ended()) {
      const std::size_t count = poller_.wait(events, next_timeout_ms());
      for (std::size_t i = 0; i < count && !is_ending(); ++i) {
        try {
          dispatch(events.at(i));
        } catch (const ErrnoError& error) {
          refusals_.add(error.what());  // what goes wrong with one must not end the others
        }
      }
      listeners_.tick();
      peers_.tick(other_descriptors());
      daemon_.reopen();
      daemon_.serve();
    }
    if (is_replaced()) hand_over();
  }

  // Listeners that nobody has any more when this object goes.
  std::size_t lost() const {
    return is_replaced() ? 0 : listeners_.held().size() + listeners_.waiting();
  }
  bool is_replaced() const { return daemon_.is_replaced(); }

 private:
  // Nothing more is to be dispatched.
  bool is_ending() const { return terminated_ || (daemon_.is_ending() && !is_replaced()); }
  bool has_ended() const {
    if (is_ending()) return true;
    // The daemon takes to the next keeper what this one has sent, and nothing else.
    if (is_replaced()) return listeners_.waiting() == 0 && daemon_.is_owed_nothing();
    return daemon_.ends_when_idle() && listeners_.held().empty() && listeners_.waiting() == 0 &&
           peers_.empty() && !daemon_.connected();
  }

  void hand_over() {
    directory_.leave_sockets();
    const std::size_t lost = peers_.hand_over(directory_.path_of(kListenerSocketName));
    if (lost > 0) {
      std::fprintf(stderr,
                   "sockswitch-keeper: %zu runtimes that had connected could not be handed over: "
                   "these containers fail to start\n",
                   lost);
    }
  }

  void dispatch(const struct epoll_event& event) {
    const std::uint64_t id = id_of(event.data.u64);
    switch (source_of(event.data.u64)) {
      case Source::kSignals:
        terminated_ = true;
        break;
      case Source::kListenerSocket:
        peers_.accept(other_descriptors());
        break;
      case Source::kDaemonSocket:
        daemon_.accept();
        break;
      case Source::kDaemon:
        // EPOLLOUT alone: serve() goes on where it stopped.
        if ((event.events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) daemon_.hear();
        break;
      case Source::kPeer:
        peers_.hear(id);
        break;
      case Source::kHeld:
        listeners_.release(id);
        break;
    }
  }

  std::size_t other_descriptors() const {
    return kOwnDescriptors + listeners_.descriptors() + daemon_.kept();
  }

  // Until the next thing that happens by time alone; -1 where there is none.
  int next_timeout_ms() const {
    std::optional<Clock::time_point> next;
    for (const auto& time :
         {listeners_.next_tick(), peers_.next_tick(other_descriptors()), daemon_.next_tick()}) {
      if (time) next = next ? std::min(*next, *time) : *time;
    }
    if (!next) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now()).count();
    return static_cast<int>(std::clamp<decltype(left)>(left, 0, INT_MAX));
  }

  RuntimeDirectory directory_;
  UniqueFd signals_;
  Poller poller_;
  DescriptorStore store_;
  Refusals refusals_;
  Listeners listeners_;
  Peers peers_;
  DaemonLink daemon_;
  bool terminated_ = false;
};

struct Arguments {
  std::string runtime_directory;
  int listening = -1;
};

std::optional<Arguments> parse_arguments(std::span<char*> words) {
  if (words.size() != 3 && words.size() != 5) return std::nullopt;
  if (std::string_view(words[1]) != "--runtime-dir" || words[2][0] != '/') return std::nullopt;
  Arguments arguments{.runtime_directory = words[2]};
  if (words.size() == 3) return arguments;
  const std::string_view number = words[4];
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), arguments.listening);
  const bool whole = error == std::errc() && end == number.data() + number.size();
  if (std::string_view(words[3]) != "--listening-socket" || !whole || arguments.listening < 3)
    return std::nullopt;
  return arguments;
}

// The listening socket: given by the daemon, or among what systemd kept.
UniqueFd listening_socket(int given, std::vector<DescriptorStore::Entry>& stored) {
  if (given >= 0) {
    ::fcntl(given, F_SETFD, FD_CLOEXEC);
    return UniqueFd(given);
  }
  const auto found = std::ranges::find(stored, kListenerSocketName, &DescriptorStore::Entry::name);
  return found == stored.end() ? UniqueFd() : std::move(found->fd);
}

}  // namespace
}  // namespace sockswitch::keeper

int main(int argc, char** argv) {
  namespace keeper = sockswitch::keeper;
  using sockswitch::DescriptorStore;
  const auto arguments = keeper::parse_arguments(std::span(argv, static_cast<std::size_t>(argc)));
  if (!arguments) {
    std::fprintf(
        stderr,
        "usage: sockswitch-keeper --runtime-dir ABSOLUTE_PATH [--listening-socket DESCRIPTOR]\n"
        "Keeps the seccomp listeners of containers while the sockswitch daemon restarts.\n"
        "The descriptor, an inherited one, is the listening socket of a keeper that has ended.\n");
    return keeper::kUsageStatus;
  }
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  ::prctl(PR_SET_NAME, "sockswitch-keep");  // the kernel keeps 15 characters
  try {
    std::vector<DescriptorStore::Entry> stored = DescriptorStore::inherited();
    sockswitch::UniqueFd listening = keeper::listening_socket(arguments->listening, stored);
    keeper::Keeper service(arguments->runtime_directory, std::move(listening), std::move(stored));
    service.run();
    if (service.lost() > 0) {
      std::fprintf(stderr,
                   "sockswitch-keeper: ends while it holds %zu listeners: trapped calls in these "
                   "containers fail\n",
                   service.lost());
    }
    return service.is_replaced() ? keeper::kReplacedStatus : 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sockswitch-keeper: %s\n", error.what());
    return 1;
  }
}
