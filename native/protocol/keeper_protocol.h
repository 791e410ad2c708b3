// What keeper and daemon say to each other over `keeper.sock`.
//
// The socket is SOCK_SEQPACKET: one message is one packet, a KeeperHeader followed by `length`
// bytes of text, and descriptors (SCM_RIGHTS). Both sides check SO_PEERCRED: the peer must run as
// the same user. The keeper serves one daemon at a time; to a second one it says kBusy and hangs
// up.
//
//   keeper -> daemon   kHello     first. id = kKeeperVersion of the keeper; one descriptor: the
//                                 listening socket of listener.sock
//                      kListener  id; two descriptors: listener, record (kernel/listener_record.h)
//                      kRefused   text = why something sent to the listener socket was refused
//                      kKept      id, text, one descriptor: what an earlier daemon gave it
//                      kReady     everything that was held before this daemon came has been sent
//                      kBusy      another daemon is connected
//   daemon -> keeper   kForget    id: this listener's process tree has ended
//                      kKeep      id, text, one descriptor (SCM_RIGHTS): hold this, and hand it
//                                 to the next daemon, before any listener. `id` is the daemon's
//                      kDrop      id: of a kKeep
//                      kHold      id; two descriptors as in kListener: hold this, too. Only after
//                                 kReady. For what a keeper that has died has held.
//                      kShutdown  id = kWhenIdle, kAtOnce or kReplaced
//
// Ids of listeners are the keeper's start time in microseconds and on, so no two keepers give the
// same one (until the machine starts anew, when nothing is left), and a daemon knows what it has.
//
// A daemon that meets a keeper of another version takes what it holds, and replaces it: header,
// kHello, kListener, kReady and kShutdown never change. It does not use what it does not know.
#pragma once

#include <cstdint>

namespace sockswitch {

inline constexpr std::uint32_t kKeeperMagic = 0x73777631;
inline constexpr std::uint64_t kKeeperVersion = 2;

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
  kHello = 10,
  kHold = 11,
};

enum class KeeperShutdown : std::uint64_t {
  kWhenIdle = 0,  // when nothing is held any more
  kAtOnce = 1,
  kReplaced = 2,  // at once, and another keeper goes on with the listening socket
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
