// How much of a listener's time goes to reading large epoll sets.
//
// The kernel tells of one registration only by printing all of a set (epoll(7), proc(5)), some
// 0.4 us each, and who connects waits for that. A program with thousands of registrations in one
// set that connects again and again would stand still. So large sets are read for a tenth of the
// time at most; what connects beyond that stays on the fallback network.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace sockswitch {

class EpollReading {
 public:
  using Clock = std::chrono::steady_clock;

  // Whether a set whose text had `size` bytes when it was last read (0: not known) may be read now.
  bool take(std::size_t size, Clock::time_point now = Clock::now()) {
    if (size <= kSmall) return true;
    const std::chrono::duration<double> passed = now - last_;
    left_ = std::min(kBytes, left_ + passed.count() * kBytes);
    last_ = now;
    if (left_ <= 0) return false;
    left_ -= static_cast<double>(size);
    return true;
  }

 private:
  // Some 300 registrations, which take as long as a connect.
  static constexpr std::size_t kSmall = std::size_t{24} * 1024;
  // At once, and a second in the long run.
  static constexpr double kBytes = 16 * 1024 * 1024;

  double left_ = kBytes;
  Clock::time_point last_;
};

}  // namespace sockswitch
