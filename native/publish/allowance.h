// So many at once, and so many a second in the long run (a token bucket).
#pragma once

#include <algorithm>
#include <chrono>

namespace sockswitch {

class Allowance {
 public:
  using Clock = std::chrono::steady_clock;
  Allowance(unsigned at_once, unsigned per_second)
      : at_once_(at_once), per_second_(per_second), left_(at_once) {}

  // Whether there is one more, or `amount` more.
  bool take(Clock::time_point now = Clock::now(), double amount = 1) {
    if (last_ != Clock::time_point{}) {
      std::chrono::duration<double> passed = now - last_;
      left_ = std::min(at_once_, left_ + passed.count() * per_second_);
    }
    last_ = now;
    if (left_ < amount) return false;
    left_ -= amount;
    return true;
  }

 private:
  double at_once_;
  double per_second_;
  double left_;
  Clock::time_point last_;
};

}  // namespace sockswitch
