// What sockswitch-names answers, and what the daemon writes into the maps that it gets so.
//
// There is no question: the program does one thing, and ends. Its answer is a NamesAnswer, with
// kNamesDescriptors descriptors where `stage` is kDone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sockswitch {

inline constexpr std::uint32_t kNamesMagic = 0x7373776E;
inline constexpr std::uint32_t kNamesVersion = 1;

// How far it came.
enum class NamesStage : std::uint8_t {
  kDone,
  kCgroup,     // no cgroup of version 2 is mounted here, or ours is not to be seen in it
  kDelegated,  // ours does not belong to this user, or the user is root
  kLoad,       // map and programs
  kAttach,
  kAnswer,  // the daemon's own: the program was not to be had, or did not answer
  kTried,   // the daemon's own: it was tried, and the map cannot be written or no name shows
};

struct NamesAnswer {
  std::uint32_t magic = kNamesMagic;
  std::uint32_t version = kNamesVersion;
  std::int32_t stage = 0;  // NamesStage
  std::int32_t error = 0;  // an errno, for stages that failed
};
static_assert(sizeof(NamesAnswer) == 16);

// In this order: the map by sockets (of clients), the map by cookies (of accepted sockets; a
// std::uint64_t, SO_COOKIE), the link of IPv4, the link of IPv6.
inline constexpr std::size_t kNamesDescriptors = 4;

// What both maps hold: the name that a service gets for its peer.
struct ShownName {
  std::array<std::uint8_t, 16> address{};  // IPv4 in its v4-mapped form
  std::uint16_t port = 0;                  // in network byte order; 0: the true one
  std::uint16_t reserved = 0;
};
static_assert(sizeof(ShownName) == 20);

}  // namespace sockswitch
