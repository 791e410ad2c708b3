// How long calls took to be answered, in classes whose bounds suit Prometheus.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace sockswitch {

// Upper bounds in microseconds; one more class holds what is above.
inline constexpr std::array<std::uint32_t, 12> kLatencyBounds = {
    10, 20, 50, 100, 200, 500, 1'000, 2'000, 5'000, 10'000, 100'000, 1'000'000};

// Written by one listener thread, read by others at any time.
class LatencyHistogram {
 public:
  static constexpr std::size_t kClasses = kLatencyBounds.size() + 1;

  void observe(std::chrono::nanoseconds time) {
    const auto nanoseconds = static_cast<std::uint64_t>(time.count());
    std::size_t at = 0;
    while (at < kLatencyBounds.size() && nanoseconds > std::uint64_t{1000} * kLatencyBounds.at(at))
      ++at;
    add(classes_.at(at), 1);
    add(sum_, nanoseconds);
  }
  // Of one class alone, not cumulative.
  std::uint64_t count(std::size_t at) const {
    return classes_.at(at).load(std::memory_order_relaxed);
  }
  std::uint64_t sum_nanoseconds() const { return sum_.load(std::memory_order_relaxed); }

 private:
  using Cell = std::atomic<std::uint64_t>;
  static void add(Cell& cell, std::uint64_t more) {
    cell.store(cell.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }
  std::array<Cell, kClasses> classes_{};
  Cell sum_;
};

}  // namespace sockswitch
