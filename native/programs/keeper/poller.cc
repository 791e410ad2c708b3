#include "programs/keeper/poller.h"

#include <algorithm>
#include <cerrno>

#include "base/errno_error.h"

namespace sockswitch::keeper {

Poller::Poller() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!fd_) throw_errno("epoll_create1");
}

void Poller::add(int fd, std::uint32_t events, std::uint64_t data) const {
  control(EPOLL_CTL_ADD, fd, events, data);
}

void Poller::modify(int fd, std::uint32_t events, std::uint64_t data) const {
  control(EPOLL_CTL_MOD, fd, events, data);
}

void Poller::remove(int fd) const { control(EPOLL_CTL_DEL, fd, 0, 0); }

std::size_t Poller::wait(std::array<struct epoll_event, 64>& events, int timeout_ms) const {
  const int count =
      ::epoll_wait(fd_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
  if (count < 0 && errno != EINTR) throw_errno("epoll_wait");
  return static_cast<std::size_t>(std::max(count, 0));
}

void Poller::control(int operation, int fd, std::uint32_t events, std::uint64_t data) const {
  struct epoll_event event = {};
  event.events = events;
  event.data.u64 = data;
  if (::epoll_ctl(fd_.get(), operation, fd, &event) != 0) throw_errno("epoll_ctl");
}

}  // namespace sockswitch::keeper
