// What keeper and daemon say to each other over `keeper.sock`.
//
// The socket is SOCK_SEQPACKET: one message is one packet, a KeeperHeader followed by `length`
// bytes of text. Both sides check SO_PEERCRED: the peer must run as the same user. The keeper
// serves one daemon at a time; to a second one it says kBusy and hangs up.
//
//   keeper -> daemon   kListener  id, text = ContainerProcessState (JSON), one descriptor
//   (SCM_RIGHTS)
//                      kRefused   text = why something sent to the listener socket was refused
//                      kKept      id, text, one descriptor: what an earlier daemon gave it
//                      kReady     everything that was held before this daemon came has been sent
//                      kBusy      another daemon is connected
//   daemon -> keeper   kForget    id: this listener's process tree has ended
//                      kKeep      id, text, one descriptor (SCM_RIGHTS): hold this, and hand it to
//                      the
//                                 next daemon, before any listener. `id` is the daemon's
//                      kDrop      id: of a kKeep
//                      kShutdown  id = 0: end when nothing is held any more; 1: end now
#pragma once

#include <cstdint>

namespace sockswitch {

inline constexpr std::uint32_t kKeeperMagic = 0x73777631;  // "swv1": a layout change changes it
inline constexpr std::uint32_t kMaxStateBytes = 128 * 1024;

enum class KeeperMessage : std::uint32_t {
  kListener = 1,
  kRefused = 2,
  kReady = 3,
  kBusy = 4,
  kForget = 5,
  kShutdown = 6,
  kKeep = 7,
  kKept = 8,
  kDrop = 9,
};

struct KeeperHeader {
  std::uint32_t magic = kKeeperMagic;
  KeeperMessage type{};
  std::uint64_t id = 0;
  std::uint32_t length = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(KeeperHeader) == 24);

}  // namespace sockswitch
