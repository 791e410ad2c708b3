// Work that nobody waits for until the end: each piece on a thread of its own.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <mutex>
#include <utility>
#include <vector>

namespace sockswitch {

class Background {
 public:
  Background() = default;
  // Waits for all.
  ~Background() = default;
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // Begins at once. What it throws is lost. Throws std::system_error where no thread is to be had.
  void run(std::function<void()> work) {
    std::lock_guard lock(mutex_);
    forget_ended();
    work_.push_back(std::async(std::launch::async, std::move(work)));
  }

  // Waits for what has begun, until then at most. Returns whether all has ended.
  bool finish(std::chrono::steady_clock::time_point until) {
    std::lock_guard lock(mutex_);
    for (const std::future<void>& one : work_) one.wait_until(until);
    forget_ended();
    return work_.empty();
  }

 private:
  void forget_ended() {
    std::erase_if(work_, [](const std::future<void>& one) {
      return one.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    });
  }

  std::mutex mutex_;
  std::vector<std::future<void>> work_;
};

}  // namespace sockswitch
