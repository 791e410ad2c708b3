// How much of a listener's time goes to reading large epoll sets.
//
// The kernel tells of one registration only by printing all of a set (epoll(7), proc(5)), some
// 0.4 us each, and who connects waits for that. A program with thousands of registrations in one
// set that connects again and again would stand still. So large sets are read for a tenth of the
// time at most; what connects beyond that stays on the fallback network.
#pragma once

#include <cstddef>

#include "publish/allowance.h"

namespace sockswitch {

class EpollReading {
 public:
  // Whether a set whose text had `size` bytes when it was last read (0: not known) may be read now.
  bool take(std::size_t size) {
    return size <= kSmall || bytes_.take(Allowance::Clock::now(), static_cast<double>(size));
  }

 private:
  // Some 300 registrations, which take as long as a connect.
  static constexpr std::size_t kSmall = std::size_t{24} * 1024;
  // At once, and a second in the long run. More than the longest text that is read (caller.cc).
  static constexpr unsigned kBytes = 16U << 20U;

  Allowance bytes_{kBytes, kBytes};
};

}  // namespace sockswitch
