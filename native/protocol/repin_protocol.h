// What the daemon asks sockswitch-repin for: that a listening socket, which comes with the question
// (SCM_RIGHTS), be pinned to another device. Question and answer begin with magic and version, as
// the guard's do (guard_protocol.h).
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sockswitch {

inline constexpr std::uint32_t kRepinMagic = 0x73777031;
inline constexpr std::uint32_t kRepinVersion = 1;

struct RepinQuestion {
  std::uint32_t magic = kRepinMagic;
  std::uint32_t version = kRepinVersion;
  // Interface index. 0, and no socket: whether the program has its capability.
  std::int32_t device = 0;
};
static_assert(sizeof(RepinQuestion) == 12);

struct RepinAnswer {
  std::uint32_t magic = kRepinMagic;
  std::uint32_t version = kRepinVersion;
  std::int32_t error = 0;  // an errno
};
static_assert(sizeof(RepinAnswer) == 12);

// Longer ones are of another version.
inline constexpr std::size_t kMaxRepinMessage = 64;

// Either of the two, if `text` is one of this version; otherwise an errno.
template <typename Part>
int decode_repin(std::string_view text, Part& part) {
  if (text.size() != sizeof part) return EPROTONOSUPPORT;
  Part read;
  text.copy(reinterpret_cast<char*>(&read), sizeof read);
  if (read.magic != kRepinMagic || read.version != kRepinVersion) return EPROTONOSUPPORT;
  part = read;
  return 0;
}

}  // namespace sockswitch
