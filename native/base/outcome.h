// Every way in which a trapped call can end, by name: the one list that counters, logs, `ps` and
// `explain` share. TypeScript reads it through the addon (`outcomes`), so nothing is listed twice.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace sockswitch {

enum class OutcomeKind : std::uint8_t {
  kSwitched,  // accelerated
  kFallback,  // a network destination that goes on over the fallback network
  kPassed,    // not a matter for switching; counted, never logged
};

enum class Outcome : std::uint8_t {
  kSwitched,
  kPublished,
  kNeighbour,
  kOtherFamily,
  kNotASocket,
  kLoopback,
  kContainerAddress,
  kNotFresh,
  kPendingError,
  kDisconnect,
  kHousekeeping,
  kSocketType,
  kUnspecified,
  kLinkLocal,
  kMulticast,
  kBroadcast,
  kIgnored,
  kPodmanNetwork,
  kGateway,
  kHostAddress,
  kNoRoute,
  kNotUplink,
  kUnknownWay,
  kRestricted,
  kIsolated,
  kFirewall,
  kTranslated,
  kFallbackOption,
  kFallbackAddress,
  kOnLink,
  kNoHostRoute,
  kNestedNetns,
  kPodAddress,
  kPodNetwork,
  kBound,
  kSocketOption,
  kEpoll,
  kLargeEpoll,
  kNotAdded,
  kUnguarded,
  kLandlock,
  kHostError,
  kPublishedRelayed,
  kPublishedUnreachable,
  kNeighbourRelayed,
  kPublishedOther,
  kCallerGone,
  kInternal,
  kCount,
};

inline constexpr std::size_t kOutcomeCount = static_cast<std::size_t>(Outcome::kCount);

struct OutcomeInfo {
  Outcome outcome;
  OutcomeKind kind;
  const char* name;
  const char* text;
};

const std::array<OutcomeInfo, kOutcomeCount>& outcome_table();
const OutcomeInfo& info(Outcome outcome);

// Written by one listener thread, read by others at any time.
class OutcomeCounters {
 public:
  // Returns true the first time that this outcome is counted.
  bool count(Outcome outcome) {
    auto& cell = cells_[static_cast<std::size_t>(outcome)];
    std::uint64_t before = cell.load(std::memory_order_relaxed);
    cell.store(before + 1, std::memory_order_relaxed);
    return before == 0;
  }
  std::uint64_t value(Outcome outcome) const {
    return cells_[static_cast<std::size_t>(outcome)].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<std::uint64_t>, kOutcomeCount> cells_{};
};

}  // namespace sockswitch
