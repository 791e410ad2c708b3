// The daemon, on keeper.sock (SOCK_SEQPACKET), one at a time, and what it hands over to the next.
//
// A daemon that connects is sent kHello, what an earlier daemon left (kKept), all held listeners in
// order of arrival, kReady, then what comes; messages in keeper_protocol.h. Nothing is queued for
// it: the listeners themselves and a cursor (`next_to_send_`) are the queue, so a slow daemon costs
// no memory.
//
// What the daemon gives to keep (reserved ports) ends with kDrop.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "kernel/unix_socket.h"
#include "programs/keeper/acceptor.h"
#include "programs/keeper/listeners.h"
#include "programs/keeper/poller.h"
#include "programs/keeper/refusals.h"
#include "protocol/keeper_protocol.h"

namespace sockswitch::keeper {

class DaemonLink {
 public:
  using Clock = std::chrono::steady_clock;

  // `socket` listens; `listening_socket` is what kHello carries. Throws ErrnoError.
  DaemonLink(UniqueFd socket, int listening_socket, Poller& poller, Listeners& listeners,
             Refusals& refusals)
      : acceptor_(std::move(socket), Source::kDaemonSocket, "keeper.sock", poller, refusals),
        listening_socket_(listening_socket),
        poller_(poller),
        listeners_(listeners),
        refusals_(refusals) {}

  bool connected() const { return static_cast<bool>(daemon_); }
  // What the daemon said about the keeper's end: to end at once, and if so because another one goes
  // on; or to end when nothing is held and no daemon connected.
  bool is_ending() const { return shutdown_ && !ends_when_idle(); }
  bool is_replaced() const { return shutdown_ == KeeperShutdown::kReplaced; }
  bool ends_when_idle() const { return shutdown_ == KeeperShutdown::kWhenIdle; }
  // Whether a daemon that is connected has got all listeners.
  bool is_owed_nothing() const;
  std::size_t kept() const { return kept_.size(); }

  // Throws ErrnoError.
  void accept();
  // Takes all that the daemon has said; where it has left, to its last word.
  void hear();
  // Sends all that the daemon has not got yet and its socket takes.
  void serve();
  void reopen() { acceptor_.reopen(); }
  // When something happens by time alone; nothing where it never does.
  std::optional<Clock::time_point> next_tick() const;

 private:
  // A reserved port, as the daemon gave it.
  struct Kept {
    UniqueFd descriptor;
    std::string text;
  };

  static void turn_away(int socket);
  void drop();
  void obey(const KeeperHeader& header, Message message);
  void keep(std::uint64_t id, Message message);
  void hold_old(std::uint64_t id, std::vector<UniqueFd> fds);
  bool send_hello();
  bool send_kept();
  bool send_listeners();
  bool send_ready();
  bool send_refusals();

  Acceptor acceptor_;
  int listening_socket_;
  Poller& poller_;
  Listeners& listeners_;
  Refusals& refusals_;

  std::map<std::uint64_t, Kept> kept_;
  std::optional<KeeperShutdown> shutdown_;

  // Of one daemon, from its connecting to its end.
  UniqueFd daemon_;
  std::uint64_t next_kept_ = 0;
  bool kept_sent_ = false;
  bool hello_sent_ = false;
  std::uint64_t next_to_send_ = 0;  // listeners below this number the daemon has got
  bool ready_sent_ = false;
  bool awaiting_room_ = false;                      // epoll is asked for EPOLLOUT
  std::optional<Clock::time_point> send_again_at_;  // the kernel was short of something
};

}  // namespace sockswitch::keeper
