// Peers that bring listeners: OCI runtimes, on listener.sock (SOCK_STREAM).
//
// A peer sends one ContainerProcessState (a JSON object) with one descriptor. States of a peer:
//
//   silent   connected, nothing sent yet. No time limit: crun connects when it creates a container
//            and, under no_new_privileges, sends when it is started, maybe days later.
//   talking  something was sent. The object must be complete within kTalkTime.
//   done     complete: becomes a held listener. The peer need not hang up for that: crun keeps its
//            end open as long as it lives.
//
// Whatever else a peer does ends in a refusal: its descriptors are closed and the daemon is told.
//
// Limits: kMaxPeers connections, kMaxStateBytes a state. Others wait in the backlog, as they do
// when descriptors run short: each connection reserves one more descriptor for the listener it may
// bring, and one for the record. A descriptor that arrives where no number is free is lost with its
// container; so where none is free after all (prlimit(1)), a peer is not heard until there is one.
// Peers of another user are refused.
//
// A keeper that is replaced hands over the peers that it has (hand_over()), to whoever listens next
// on listener.sock: it connects there as they did, and sends kHandedOver, what a peer has sent so
// far, and as descriptors the peer's socket and the listener, if that has come. Nobody needs to be
// there yet, since the listening socket lives on.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/unique_fd.h"
#include "kernel/unix_socket.h"
#include "programs/keeper/acceptor.h"
#include "programs/keeper/listeners.h"
#include "programs/keeper/object_frame.h"
#include "programs/keeper/poller.h"
#include "programs/keeper/refusals.h"

namespace sockswitch::keeper {

class Peers {
 public:
  using Clock = std::chrono::steady_clock;

  // `socket` listens. Throws ErrnoError.
  Peers(UniqueFd socket, Poller& poller, Listeners& listeners, Refusals& refusals)
      : acceptor_(std::move(socket), Source::kListenerSocket, kListenerSocketName, poller,
                  refusals),
        poller_(poller),
        listeners_(listeners),
        refusals_(refusals) {}

  // To who serves `path`, the name of the listening socket. How many could not be handed over.
  std::size_t hand_over(const std::string& path);

  int listening_socket() const { return acceptor_.fd(); }
  bool empty() const { return peers_.empty(); }

  // `other_descriptors`: how many the keeper holds beside those of peers. Throws ErrnoError.
  void accept(std::size_t other_descriptors);
  void hear(std::uint64_t id);
  // What happens by time alone. Throws ErrnoError.
  void tick(std::size_t other_descriptors);
  // When that is next; nothing where it is never.
  std::optional<Clock::time_point> next_tick(std::size_t other_descriptors) const;

 private:
  struct Peer {
    UniqueFd socket;
    std::string state;
    UniqueFd listener;
    ObjectFrame frame;
    std::optional<Clock::time_point> deadline;      // since when it talks, and kTalkTime
    std::optional<Clock::time_point> silent_until;  // not heard, for want of descriptors
  };

  bool has_room(std::size_t other_descriptors) const;
  bool hear(std::uint64_t id, Peer& peer);
  void adopt(std::uint64_t id, Peer& peer, Message& message) const;
  static bool take(Peer& peer, Message message);
  void hold(Peer& peer);
  bool has_spare_descriptor() const;
  void silence(Peer& peer) const;
  void hear_again();
  void expire();

  Acceptor acceptor_;
  Poller& poller_;
  Listeners& listeners_;
  Refusals& refusals_;
  std::map<std::uint64_t, Peer> peers_;
  std::uint64_t next_id_ = 0;
};

}  // namespace sockswitch::keeper
