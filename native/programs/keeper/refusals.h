// Why things were refused, until a daemon wants to know: the first ones of a window, and a count of
// the others.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <string>
#include <utility>

namespace sockswitch::keeper {

class Refusals {
 public:
  void add(std::string reason) {
    const Clock::time_point now = Clock::now();
    if (now - window_start_ >= kWindow) {
      window_start_ = now;
      added_in_window_ = 0;
    }
    if (waiting_.size() >= kMost || added_in_window_ >= kMost) {
      ++suppressed_;
      return;
    }
    ++added_in_window_;
    if (suppressed_ > 0)
      reason += " (and " + std::to_string(std::exchange(suppressed_, 0)) + " more before it)";
    waiting_.push_back(std::move(reason));
  }

  bool empty() const { return waiting_.empty(); }
  const std::string& front() const { return waiting_.front(); }
  void pop() { waiting_.pop_front(); }

 private:
  using Clock = std::chrono::steady_clock;
  // As many wait, and as many are reported in a window.
  static constexpr std::size_t kMost = 32;
  static constexpr std::chrono::seconds kWindow{10};

  std::deque<std::string> waiting_;
  Clock::time_point window_start_ = Clock::now();
  std::size_t added_in_window_ = 0;
  std::size_t suppressed_ = 0;
};

}  // namespace sockswitch::keeper
