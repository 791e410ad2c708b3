// Calls that were interrupted by a signal: what their repetition has to find again.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <tuple>

namespace sockswitch {

// A call that was interrupted by a signal is often restarted by the kernel, as a new notification.
// What the first one had done is remembered here for a moment, so that the second returns the same.
class Interrupted {
 public:
  // A switched call whose result could not be delivered. `result`: 0 or a positive errno.
  void keep_result(std::uint64_t host_socket, int result);
  std::optional<int> take_result(std::uint64_t host_socket);
  // A getsockname that overwrote the length that it was given, which was shorter than the name.
  // `where`: what tells this thread's call from others. The repeated one is given `length` again.
  using NameCall = std::tuple<pid_t, std::uint64_t, std::uint64_t>;
  void keep_length(const NameCall& where, int length);
  std::optional<int> take_length(const NameCall& where);
  // Drops what no restarted call has asked for within a second.
  void expire();
  // Whether there is anything left to expire.
  bool is_empty() const { return results_.empty() && lengths_.empty(); }
  bool has_results() const { return !results_.empty(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Result {
    std::uint64_t host_socket = 0;
    int result = 0;
    Clock::time_point since;
  };
  struct Length {
    NameCall where;
    int length = 0;
    Clock::time_point since;
  };
  std::deque<Result> results_;
  std::deque<Length> lengths_;
};

}  // namespace sockswitch
