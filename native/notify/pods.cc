#include "notify/pods.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/errno_error.h"
#include "kernel/descriptor_table.h"
#include "notify/container_network.h"

namespace sockswitch {
namespace {

constexpr std::chrono::seconds kUnused{5};
constexpr int kLookShare = 10;  // as in path/surroundings.cc
constexpr std::size_t kMaxPods = 128;

void set_timer(int timer, std::chrono::seconds period) {
  const struct timespec time{.tv_sec = period.count(), .tv_nsec = 0};
  const struct itimerspec every{.it_interval = time, .it_value = time};
  if (::timerfd_settime(timer, 0, &every, nullptr) != 0) throw_errno("timerfd_settime");
}

}  // namespace

Pods::Pods(std::string helper, Watcher& watcher, ControlThread& control,
           std::shared_ptr<NetworkView> node)
    : helper_(std::move(helper)), watcher_(watcher), control_(control), node_(std::move(node)) {}

Pods::~Pods() {
  if (timer_) watcher_.remove(watch_);
}

// On the control thread.
void Pods::tick() {
  if (!timer_) {
    timer_ = UniqueFd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!timer_) throw_errno("timerfd_create");
    watch_ = watcher_.add(timer_.get(), EPOLLIN, [this] {
      std::uint64_t times = 0;
      [[maybe_unused]] const ssize_t got = ::read(timer_.get(), &times, sizeof times);
      drop_unused();
      return true;
    });
  }
  set_timer(timer_.get(), kUnused);
}

// On the watcher's thread: views are dropped on the control thread, since their ends wait for this
// one. Whoever has the lock may be waiting for the control thread: then it is done next time.
void Pods::drop_unused() {
  const auto limit = Clock::now() - kUnused;
  std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock) return;
  for (auto entry = known_.begin(); entry != known_.end();) {
    if (entry->second.used > limit) {
      ++entry;
      continue;
    }
    control_.post([pod = std::move(entry->second.pod)]() mutable { pod.reset(); });
    entry = known_.erase(entry);
  }
  if (known_.empty()) set_timer(timer_.get(), std::chrono::seconds(0));
}

std::shared_ptr<const Pod> Pods::of(std::uint64_t cookie, pid_t tid, std::string& why) {
  const auto now = Clock::now();
  std::lock_guard lock(mutex_);
  if (auto found = known_.find(cookie); found != known_.end()) {
    found->second.used = now;
    return found->second.pod;
  }
  if (now < next_look_) {
    why = "the pod was not looked at yet";
    return {};
  }
  if (known_.size() >= kMaxPods) {
    why = "too many pods connect at once";
    return {};
  }
  std::shared_ptr<const Pod> pod;
  try {
    pod = look(tid);
  } catch (const ErrnoError& error) {
    why = error.what();
  }
  const auto end = Clock::now();
  next_look_ = end + kLookShare * (end - now);
  if (!pod) return {};
  const std::uint64_t found = pod->view->cookie();
  known_[found] = {pod, end};
  if (found == cookie) return pod;
  why = "the socket is of another namespace than its user";
  return {};
}

// On the control thread.
std::shared_ptr<PodView> Pods::make_view(pid_t tid) {
  auto netns = Netns::of_process(tid);
  if (netns.identity() == node_->identity()) throw ErrnoError(EINVAL, "open", "not a pod");
  return dropped_in_common_table(
      control_, std::make_unique<PodView>(std::move(netns), helper_, watcher_, control_, node_));
}

std::shared_ptr<const Pod> Pods::look(pid_t tid) {
  std::shared_ptr<const Pod> pod;
  control_.run([&] {
    auto view = make_view(tid);
    auto fresh = read_baselines(view->fresh_socket(AF_INET), view->fresh_socket(AF_INET6));
    pod = std::make_shared<const Pod>(Pod{std::move(view), std::move(fresh)});
    tick();
  });
  return pod;
}

RouteDecision Pods::explain(pid_t pid, const Destination& to,
                            const std::optional<Ipv4Block>& listed, const Permissions& permissions,
                            std::string& detail) {
  std::shared_ptr<PodView> view;
  control_.run([&] { view = make_view(pid); });
  return view->decide(to, listed, permissions, &detail);
}

std::shared_ptr<Pods> make_pods(const std::string& helper, Watcher& watcher, ControlThread& control,
                                std::shared_ptr<NetworkView> node) {
  return dropped_in_common_table(control,
                                 std::make_unique<Pods>(helper, watcher, control, std::move(node)));
}

}  // namespace sockswitch
