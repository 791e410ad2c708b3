// Calls that were reported and then left to the kernel, which executes them at some later moment.
//
// What such a call does (a new epoll set, a socket option) is there when its thread makes its next
// call that is reported, at the latest; and by all experience after a second. Until then another
// thread's connect cannot trust what it remembers, and looks anew.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sockswitch {

class InFlight {
 public:
  // Thread `tid` goes on with such a call.
  void begin(pid_t tid) {
    end(tid);
    // So many threads at once, that one of them is forgotten early: its time has come, too.
    if (calls_.size() >= kMaxCalls) {
      calls_.erase(calls_.begin());
      ++generation_;
    }
    calls_.push_back({tid, Clock::now()});
    ++generation_;
  }
  // Thread `tid` makes another call: what it had begun is done.
  void end(pid_t tid) {
    if (calls_.empty()) return;
    const auto late = Clock::now() - kPatience;
    const auto ended = std::erase_if(
        calls_, [&](const Call& call) { return call.tid == tid || call.since < late; });
    if (ended != 0) ++generation_;
  }
  // Whether a thread is in the middle of one. To be asked after end() for the caller.
  bool any() const { return !calls_.empty(); }
  // Another one whenever something may have changed by a call that has ended.
  std::uint64_t generation() const { return generation_; }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kPatience{1};
  static constexpr std::size_t kMaxCalls = 256;
  struct Call {
    pid_t tid;
    Clock::time_point since;
  };
  std::vector<Call> calls_;
  std::uint64_t generation_ = 1;
};

}  // namespace sockswitch
