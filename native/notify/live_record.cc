#include "notify/live_record.h"

#include <sys/mman.h>

#include <cstring>
#include <new>
#include <string_view>

#include "base/errno_error.h"

namespace sockswitch {
namespace {

// FNV-1a over the sizes and the outcomes' names, in order.
std::uint64_t layout_fingerprint() {
  constexpr std::uint64_t kBasis = 0xcbf29ce484222325;
  constexpr std::uint64_t kPrime = 0x100000001b3;
  std::uint64_t hash = kBasis;
  const auto mix = [&hash](std::uint64_t value) { hash = (hash ^ value) * kPrime; };
  mix(sizeof(LiveRecord));
  mix(kLatencyBounds.size());
  for (const OutcomeInfo& known : outcome_table()) {
    for (const char c : std::string_view(known.name)) mix(static_cast<unsigned char>(c));
    mix(0);
  }
  return hash;
}

}  // namespace

RecordMapping::RecordMapping(UniqueFd fd) : fd_(std::move(fd)) {
  read_record_state(fd_.get());  // throws where it is none
  void* memory = ::mmap(nullptr, kRecordStateOffset, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_POPULATE, fd_.get(), 0);
  if (memory == MAP_FAILED) throw_errno("mmap", "listener record");
  live_ = std::launder(static_cast<LiveRecord*>(memory));
  void* marks = static_cast<char*>(memory) + kMarksOffset;
  marks_ = std::launder(static_cast<LastingMarks*>(marks));
  static const std::uint64_t kLayout = layout_fingerprint();
  if (live_->layout == kLayout) return;
  std::memset(static_cast<char*>(memory) + sizeof(RecordHeader), 0,
              sizeof(LiveRecord) - sizeof(RecordHeader));
  live_->layout = kLayout;
}

RecordMapping::~RecordMapping() { ::munmap(live_, kRecordStateOffset); }

}  // namespace sockswitch
