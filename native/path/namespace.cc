#include "path/namespace.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <iterator>

#include "base/errno_error.h"
#include "kernel/netlink.h"
#include "kernel/syscalls.h"
#include "protocol/netns_protocol.h"

namespace sockswitch {
namespace {

// Takes descriptors of a message one after the other; empty when there are no more.
class Taker {
 public:
  explicit Taker(std::vector<UniqueFd> fds) : fds_(std::move(fds)) {}
  UniqueFd next() { return at_ < fds_.size() ? std::move(fds_[at_++]) : UniqueFd(); }
  std::vector<UniqueFd> rest() {
    return {std::make_move_iterator(fds_.begin() + static_cast<std::ptrdiff_t>(at_)),
            std::make_move_iterator(fds_.end())};
  }

 private:
  std::vector<UniqueFd> fds_;
  std::size_t at_ = 0;
};

// Whether the namespace has a legacy table: "filter\nnat\n" stands in the file then.
bool names_a_table(int fd) {
  std::array<char, 64> text{};
  return ::pread(fd, text.data(), text.size(), 0) != 0;
}

}  // namespace

Namespace::Namespace(Netns netns, const std::string& helper, Watcher& watcher,
                     std::atomic<std::uint64_t>* changes)
    : netns_(std::move(netns)), watcher_(watcher), routes_(UniqueFd()), changes_(changes) {
  Message view = netns_.open_view(helper);
  const std::string& letters = view.bytes;
  if (letters.size() < kViewFixedLetters) throw ErrnoError(EPROTO, "sockswitch-netns", "view");
  Taker fds(std::move(view.fds));
  routes_ = NetlinkSocket(fds.next());
  monitors_.push_back(fds.next());
  fresh_v4_ = fds.next();
  if (letters[0] == '6') fresh_v6_ = fds.next();
  for (int left = letters[1] - '0'; left > 0; --left) monitors_.push_back(fds.next());
  filters_ = FirewallSockets::take(letters.substr(kViewFixedLetters), fds.rest());
  auto cookie = netns_cookie(fresh_v4_.get());
  if (!cookie) throw_errno("getsockopt", "SO_NETNS_COOKIE (Linux 5.14)");
  cookie_ = *cookie;
  // The first one is that of routes; the others are packet filters'.
  for (const UniqueFd& monitor : monitors_) watch(monitor.get(), &monitor == &monitors_.front());
  reports_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!reports_) throw_errno("epoll_create1");
  for (const UniqueFd& monitor : monitors_) {
    epoll_event event{.events = EPOLLIN, .data = {}};
    if (::epoll_ctl(reports_.get(), EPOLL_CTL_ADD, monitor.get(), &event) != 0)
      throw_errno("epoll_ctl");
  }
}

Namespace::~Namespace() {
  for (std::uint64_t number : watches_) watcher_.remove(number);
}

void Namespace::watch(int fd, bool routes) {
  watches_.push_back(watcher_.add(fd, EPOLLIN, [this, fd, routes] {
    take_reports(fd, routes);
    return true;
  }));
}

void Namespace::take_reports(int fd, bool routes) {
  const std::lock_guard lock(taking_);
  const bool change = routes ? drain_packet_monitor(fd) : drain_monitor(fd);
  if (change) changed();
}

void Namespace::look_for_reported_changes() {
  for (const UniqueFd& monitor : monitors_) {
    take_reports(monitor.get(), &monitor == &monitors_.front());
  }
}

void Namespace::changed() {
  generation_.fetch_add(1, std::memory_order_release);
  if (changes_) changes_->fetch_add(1, std::memory_order_release);
}

int Namespace::fresh_socket(int domain) const {
  const UniqueFd& fd = domain == AF_INET ? fresh_v4_ : fresh_v6_;
  return fd ? fd.get() : -1;
}

const RoutingTables& Namespace::tables() {
  // Read before asking: a change meanwhile makes the answer one generation too old.
  std::uint64_t generation = this->generation();
  if (tables_generation_ != generation) {
    tables_ = read_tables(routes_);
    tables_generation_ = generation;
  }
  return tables_;
}

const Firewall& Namespace::firewall() {
  std::uint64_t generation = this->generation();
  if (firewall_generation_ != generation) {
    firewall_ = Firewall::read(filters_);
    firewall_generation_ = generation;
  }
  return firewall_;
}

void Namespace::look_for_silent_changes() {
  for (FirewallSource source : {FirewallSource::kTableNamesV4, FirewallSource::kTableNamesV6,
                                FirewallSource::kTableNamesArp}) {
    if (filters_.state(source) != FirewallSockets::State::kOpen) continue;
    if (names_a_table(filters_.fd(source))) return changed();
  }
}

}  // namespace sockswitch
