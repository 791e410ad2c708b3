// The record of a listener: a memfd that travels with it, so that it outlives every process of
// ours.
//
//   byte 0        RecordHeader: written once, by the keeper
//   after it      what a daemon knows of the listener (notify/live_record.h), zero at first
//   state_offset  the OCI ContainerProcessState, as the runtime sent it
//
// The keeper only makes it and passes it on. Its size is sealed, so a mapping of it cannot fault.
// Header and place of the state never change; what `version` does not cover is another daemon's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace sockswitch {

inline constexpr std::uint32_t kRecordMagic = 0x73777272;
inline constexpr std::uint32_t kRecordVersion = 1;
inline constexpr std::size_t kRecordStateOffset = 4096;
inline constexpr std::uint32_t kMaxStateBytes = 128 * 1024;

struct RecordHeader {
  std::uint32_t magic = kRecordMagic;
  std::uint32_t version = kRecordVersion;
  std::uint32_t state_offset = kRecordStateOffset;
  std::uint32_t state_bytes = 0;
};
static_assert(sizeof(RecordHeader) == 16);

// Makes the record of a new listener. Throws ErrnoError.
UniqueFd make_record(std::string_view state);
// The state in a record. Throws ErrnoError; EPROTO if `fd` is no record.
std::string read_record_state(int fd);

}  // namespace sockswitch
