// What the daemon asks sockswitch-guard for: a program for one use of sockets on one device. The
// addresses that go into it are the guard's own finding, so that nobody chooses what it loads but
// for a port.
//
// The answer is a GuardAnswer, with the loaded program where `error` is 0. Both begin with magic
// and version, and no version's question is taken for another's:
//
//   version 1   (before there was a magic) a kind, a port and addresses; answers of one or four
//               bytes. This guard answers such a question as that version would, with
//               EPROTONOSUPPORT; that version's guard answers a question of ours with EINVAL in
//               four bytes, which is no GuardAnswer.
//   version 2   this one
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "protocol/guard_use.h"

namespace sockswitch {

inline constexpr std::uint32_t kGuardMagic = 0x73776732;
inline constexpr std::uint32_t kGuardVersion = 2;

struct GuardQuestion {
  std::uint32_t magic = kGuardMagic;
  std::uint32_t version = kGuardVersion;
  std::uint16_t kind = 0;  // GuardKind
  std::uint16_t port = 0;
  std::int32_t device = 0;
  std::uint16_t family = 0;  // GuardFamily
  std::uint16_t reserved = 0;
};
static_assert(sizeof(GuardQuestion) == 20);

struct GuardAnswer {
  std::uint32_t magic = kGuardMagic;
  std::uint32_t version = kGuardVersion;
  std::int32_t error = 0;  // an errno
};
static_assert(sizeof(GuardAnswer) == 12);

// Longer ones are of another version.
inline constexpr std::size_t kMaxGuardMessage = 64;

inline bool is_guard_message(std::string_view text) {
  std::uint32_t magic = 0;
  if (text.size() < sizeof magic) return false;
  std::memcpy(&magic, text.data(), sizeof magic);
  return magic == kGuardMagic;
}

inline GuardQuestion encode_question(const GuardUse& use) {
  return {.kind = static_cast<std::uint16_t>(use.kind),
          .port = use.port,
          .device = use.device,
          .family = static_cast<std::uint16_t>(use.family)};
}

// The use, or why there is none: EPROTONOSUPPORT, EINVAL.
inline int decode_question(std::string_view text, GuardUse& use) {
  GuardQuestion question;
  if (!is_guard_message(text) || text.size() < 2 * sizeof(std::uint32_t)) return EPROTONOSUPPORT;
  std::memcpy(&question, text.data(), std::min(text.size(), sizeof question));
  if (question.version != kGuardVersion) return EPROTONOSUPPORT;
  if (text.size() != sizeof question || question.reserved != 0) return EINVAL;
  if (question.family > static_cast<std::uint16_t>(GuardFamily::kV6)) return EINVAL;
  use = {.kind = static_cast<GuardKind>(question.kind),
         .port = question.port,
         .device = question.device,
         .family = static_cast<GuardFamily>(question.family)};
  // One question for one program.
  switch (use.kind) {
    case GuardKind::kClient:
    case GuardKind::kPodClient:
      return use.port == 0 && use.device >= 0 ? 0 : EINVAL;
    case GuardKind::kNeighbour:
      return use.device >= 0 ? 0 : EINVAL;
    case GuardKind::kService:
      return use.device == 0 && use.family == GuardFamily::kBoth ? 0 : EINVAL;
  }
  return EINVAL;
}

// 0 or an errno: EPROTONOSUPPORT for what another version says.
inline int decode_answer(std::string_view text) {
  GuardAnswer answer;
  if (text.size() != sizeof answer || !is_guard_message(text)) return EPROTONOSUPPORT;
  std::memcpy(&answer, text.data(), sizeof answer);
  if (answer.version != kGuardVersion) return EPROTONOSUPPORT;
  return answer.error;
}

}  // namespace sockswitch
