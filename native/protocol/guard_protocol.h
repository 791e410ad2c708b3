// What the daemon asks sockswitch-guard for: a program for one use of sockets on one device. The
// addresses that go into it are the guard's own finding, so that nobody chooses what it loads,
// except for a port, and a network that is tested bit by bit (switch/guard_program.h).
//
// The answer is a GuardAnswer, with the loaded program where `error` is 0. Both begin with magic
// and version, and no version's question is taken for another's:
//
//   version 1   (before there was a magic) a kind, a port and addresses; answers of one or four
//               bytes. This guard answers such a question as that version would, with
//               EPROTONOSUPPORT; that version's guard answers a question of ours with EINVAL in
//               four bytes, which is no GuardAnswer.
//   version 2   GuardQuestion: all kinds except kPodNetwork
//   version 3   the same with a network behind it: kPodNetwork alone
//
// A guard that does not know a kind (kServiceAnywhere and kPodClientV6 came late to version 2) says
// EINVAL.
//
// A daemon asks in the lowest version that has the words, and is answered in that one. So a guard
// of version 2 serves a later daemon in all but the network, which it refuses with
// EPROTONOSUPPORT, and a later guard serves a daemon of version 2 in everything.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "protocol/guard_use.h"

namespace sockswitch {

inline constexpr std::uint32_t kGuardMagic = 0x73776732;
inline constexpr std::uint32_t kGuardVersion = 2;
inline constexpr std::uint32_t kGuardVersionOfNetworks = 3;

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

struct GuardNetworkQuestion {
  GuardQuestion head;
  std::uint32_t network = 0;  // host byte order
  std::uint32_t mask = 0;
};
static_assert(sizeof(GuardNetworkQuestion) == 28);

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

// The version that a message says; 0: none.
inline std::uint32_t guard_version(std::string_view text) {
  std::uint32_t version = 0;
  if (!is_guard_message(text) || text.size() < 2 * sizeof version) return 0;
  std::memcpy(&version, text.data() + sizeof kGuardMagic, sizeof version);
  return version;
}

inline std::uint32_t guard_version(const GuardUse& use) {
  return use.kind == GuardKind::kPodNetwork ? kGuardVersionOfNetworks : kGuardVersion;
}

inline std::string encode_question(const GuardUse& use) {
  const GuardNetworkQuestion question{.head = {.version = guard_version(use),
                                               .kind = static_cast<std::uint16_t>(use.kind),
                                               .port = use.port,
                                               .device = use.device,
                                               .family = static_cast<std::uint16_t>(use.family)},
                                      .network = use.network.network,
                                      .mask = use.network.mask};
  const bool whole = use.kind == GuardKind::kPodNetwork;
  return {reinterpret_cast<const char*>(&question), whole ? sizeof question : sizeof question.head};
}

// The use, or why there is none: EPROTONOSUPPORT, EINVAL.
inline int decode_question(std::string_view text, GuardUse& use) {
  const std::uint32_t version = guard_version(text);
  const bool with_network = version == kGuardVersionOfNetworks;
  if (version != kGuardVersion && !with_network) return EPROTONOSUPPORT;
  if (text.size() != (with_network ? sizeof(GuardNetworkQuestion) : sizeof(GuardQuestion))) {
    return EINVAL;
  }
  GuardNetworkQuestion whole;
  std::memcpy(&whole, text.data(), text.size());
  const GuardQuestion& question = whole.head;
  if (question.reserved != 0) return EINVAL;
  if (question.family > static_cast<std::uint16_t>(GuardFamily::kV6)) return EINVAL;
  use = {.kind = static_cast<GuardKind>(question.kind),
         .port = question.port,
         .device = question.device,
         .family = static_cast<GuardFamily>(question.family),
         .network = {whole.network, whole.mask}};
  // One question for one program.
  if (with_network != (use.kind == GuardKind::kPodNetwork)) return EINVAL;
  switch (use.kind) {
    case GuardKind::kPodNetwork:
      if (!may_be_listed(use.network) || use.family != GuardFamily::kBoth) return EINVAL;
      [[fallthrough]];
    case GuardKind::kClient:
    case GuardKind::kPodClient:
    case GuardKind::kPodClientV6:
      return use.port == 0 && use.device >= 0 ? 0 : EINVAL;
    case GuardKind::kNeighbour:
      return use.device >= 0 ? 0 : EINVAL;
    case GuardKind::kService:
    case GuardKind::kServiceAnywhere:
      return use.device == 0 && use.family == GuardFamily::kBoth ? 0 : EINVAL;
  }
  return EINVAL;
}

// 0 or an errno: EPROTONOSUPPORT for what another version than the question's says.
inline int decode_answer(std::string_view text, std::uint32_t version) {
  GuardAnswer answer;
  if (text.size() != sizeof answer || !is_guard_message(text)) return EPROTONOSUPPORT;
  std::memcpy(&answer, text.data(), sizeof answer);
  if (answer.version != version) return EPROTONOSUPPORT;
  return answer.error;
}

}  // namespace sockswitch
