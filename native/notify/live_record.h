// What a daemon knows of a listener and the next one must know, too: in the listener's record
// (kernel/listener_record.h), shared memory that a killed daemon leaves as it was at that moment.
//
// `in_hand` is where the kernel itself writes a notification, so there is no instant at which a
// call has been received and is not written down. Before the next one is received it must be zero
// again: the kernel asks for that. A call in hand that is still valid when a daemon takes the
// listener over was left half-way; Listener::resume() brings it to its end.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/outcome.h"
#include "kernel/listener_record.h"
#include "kernel/netns.h"
#include "notify/bound_inside.h"
#include "notify/landlock.h"
#include "notify/latency.h"
#include "notify/notification.h"

namespace sockswitch {

struct LiveRecord {
  RecordHeader header;
  // Tells this layout and this list of outcomes from those of other versions; zero in a new record.
  std::uint64_t layout = 0;
  NetnsIdentity netns;  // the container's first network namespace; zero: not known yet
  CallInHand in_hand;
  OutcomeCounters counters;
  LatencyHistogram latency;
  BoundInside bound;
};

// What is never cleared has a place of its own, at the end of the record's head, whatever the
// layout of the rest is.
struct LastingMarks {
  RestrictionMark restriction;
  // Options that are rarely set have been set (notify/option_mark.h).
  std::atomic<std::uint8_t> rare_options{0};
};
inline constexpr std::size_t kMarksOffset = kRecordStateOffset - 64;
static_assert(sizeof(LiveRecord) <= kMarksOffset);
static_assert(sizeof(LastingMarks) <= kRecordStateOffset - kMarksOffset);

// A mapped record. Where it was written by a version with another layout, it is cleared.
class RecordMapping {
 public:
  // Keeps the descriptor, for a keeper that has to be given it anew. Throws ErrnoError.
  explicit RecordMapping(UniqueFd fd);
  ~RecordMapping();
  RecordMapping(const RecordMapping&) = delete;
  RecordMapping& operator=(const RecordMapping&) = delete;

  LiveRecord& operator*() const { return *live_; }
  LiveRecord* operator->() const { return live_; }
  LastingMarks& marks() const { return *marks_; }
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  LiveRecord* live_ = nullptr;
  LastingMarks* marks_ = nullptr;
};

}  // namespace sockswitch
