// One thread that waits for rare events on many descriptors: route changes, the end of a listener.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "base/unique_fd.h"

namespace sockswitch {

class Watcher {
 public:
  // Returns whether to go on watching.
  using Callback = std::function<bool()>;

  Watcher();
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // Calls `callback` on the watcher's thread whenever one of `events` (EPOLLIN, ...) is there;
  // EPOLLHUP and EPOLLERR always count. The descriptor stays the caller's; returns the watch's
  // number.
  std::uint64_t add(int fd, std::uint32_t events, Callback callback);
  // After this returns the callback neither runs nor will run.
  void remove(std::uint64_t watch);

 private:
  struct Watch {
    int fd;
    Callback callback;
  };
  void run();
  void drop(std::unordered_map<std::uint64_t, Watch>::iterator watch);

  UniqueFd epoll_;
  UniqueFd wake_;
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, Watch> watches_;
  std::uint64_t next_ = 1;
  std::thread thread_;
};

}  // namespace sockswitch
