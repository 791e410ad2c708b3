// The calling thread's processor time (CLOCK_THREAD_CPUTIME_ID, clock_gettime(2)), as a clock of
// std::chrono.
//
// What limits work that others can make long (a container's rules, its routes) is measured with it:
// a machine that is busy with something else stops a thread for a second now and then, and must
// not find out less for it. Points in time of different threads have nothing to do with each other.
#pragma once

#include <chrono>
#include <ctime>

namespace sockswitch {

struct ThreadClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<ThreadClock>;
  static constexpr bool is_steady = true;

  static time_point now() {
    struct timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time_point(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
  }
};

}  // namespace sockswitch
