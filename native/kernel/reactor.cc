#include "kernel/reactor.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <future>
#include <utility>

#include "base/errno_error.h"

namespace sockswitch {
namespace {

constexpr std::uint64_t kWake = 0;  // the key of the descriptor that says that there is work
constexpr int kSecondMs = 1000;

}  // namespace

Reactor::Reactor(const char* thread_name, std::function<void()> every_second)
    : every_second_(std::move(every_second)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_) throw_errno("epoll_create1");
  if (!wake_) throw_errno("eventfd");
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kWake}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) throw_errno("epoll_ctl");
  thread_ = std::thread([this] { loop(); });
  ::pthread_setname_np(thread_.native_handle(), thread_name);
}

Reactor::~Reactor() { stop(); }

void Reactor::stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  poke();
  thread_.join();
}

void Reactor::poke() const { ::eventfd_write(wake_.get(), 1); }

void Reactor::run(const std::function<void()>& work, const std::function<void()>& poke) {
  std::packaged_task<void()> task(work);
  auto done = task.get_future();
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    work_.emplace_back([&task] { task(); });
  }
  poke();
  done.get();
}

void Reactor::post(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    work_.push_back(std::move(work));
  }
  poke();
}

std::uint64_t Reactor::watch(Watched& watched, std::initializer_list<int> fds,
                             std::uint32_t events) {
  std::uint64_t key = next_key_++;
  for (int fd : fds) {
    epoll_event event{.events = events, .data = {.u64 = key}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("epoll_ctl");
  }
  watched_.emplace(key, &watched);
  return key;
}

void Reactor::set_events(std::uint64_t key, int fd, std::uint32_t events) {
  epoll_event event{.events = events, .data = {.u64 = key}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) throw_errno("epoll_ctl");
}

void Reactor::unwatch(std::uint64_t key, std::initializer_list<int> fds) {
  // Explicitly: the file may live on elsewhere (a reservation does, in the keeper).
  for (int fd : fds) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  watched_.erase(key);
  again_.erase(key);
}

void Reactor::take_work() {
  eventfd_t count = 0;
  ::eventfd_read(wake_.get(), &count);
  std::vector<std::function<void()>> work;
  {
    std::lock_guard lock(mutex_);
    work.swap(work_);
  }
  for (const auto& one : work) one();
}

void Reactor::dispatch(std::uint64_t key) {
  auto found = watched_.find(key);
  if (found == watched_.end()) return;
  try {
    found->second->ready();
  } catch (const ErrnoError&) {  // NOLINT(bugprone-empty-catch): said by the next attempt, too
  }
}

void Reactor::loop() {
  using Clock = std::chrono::steady_clock;
  auto next_second = Clock::now() + std::chrono::milliseconds(kSecondMs);
  std::array<epoll_event, 64> events{};
  for (;;) {
    int wait = !again_.empty() ? 0 : watched_.empty() ? -1 : kSecondMs;
    int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait);
    if (count < 0 && errno != EINTR) return;
    auto busy = std::exchange(again_, {});
    for (int i = 0; i < count; ++i) {
      std::uint64_t key = events[static_cast<std::size_t>(i)].data.u64;
      busy.erase(key);
      if (key == kWake) {
        take_work();
      } else {
        dispatch(key);
      }
    }
    for (std::uint64_t key : busy) dispatch(key);
    if (auto now = Clock::now(); now >= next_second) {
      next_second = now + std::chrono::milliseconds(kSecondMs);
      every_second_();
    }
    buried_.clear();
    std::lock_guard lock(mutex_);
    if (stopping_ && work_.empty()) return;
  }
}

}  // namespace sockswitch
