#include "kernel/watcher.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <array>
#include <cerrno>

#include "base/errno_error.h"

namespace sockswitch {
namespace {

constexpr std::uint64_t kWake = 0;  // the key of the descriptor that ends the thread

}  // namespace

Watcher::Watcher()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_) throw_errno("epoll_create1");
  if (!wake_) throw_errno("eventfd");
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kWake}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) throw_errno("epoll_ctl");
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "ssw-watcher");
}

Watcher::~Watcher() {
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
}

std::uint64_t Watcher::add(int fd, std::uint32_t events, Callback callback) {
  std::lock_guard lock(mutex_);
  std::uint64_t key = next_++;
  epoll_event event{.events = events, .data = {.u64 = key}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("epoll_ctl");
  watches_.emplace(key, Watch{fd, std::move(callback)});
  return key;
}

void Watcher::remove(std::uint64_t watch) {
  std::lock_guard lock(mutex_);
  auto found = watches_.find(watch);
  if (found != watches_.end()) drop(found);
}

void Watcher::drop(std::unordered_map<std::uint64_t, Watch>::iterator watch) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watch->second.fd, nullptr);
  watches_.erase(watch);
}

void Watcher::run() {
  std::array<epoll_event, 32> events{};
  for (;;) {
    int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    if (count < 0 && errno != EINTR) return;
    for (int i = 0; i < count; ++i) {
      std::uint64_t key = events[static_cast<std::size_t>(i)].data.u64;
      if (key == kWake) return;
      // The lock is held while the callback runs, so that remove() can promise that it is over.
      std::lock_guard lock(mutex_);
      auto found = watches_.find(key);
      if (found != watches_.end() && !found->second.callback()) drop(found);
    }
  }
}

}  // namespace sockswitch
