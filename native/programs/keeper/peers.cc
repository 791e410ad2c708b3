#include "programs/keeper/peers.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include "kernel/errno_error.h"
#include "kernel/listener_record.h"

namespace sockswitch::keeper {
namespace {

constexpr std::chrono::seconds kTalkTime{5};
constexpr std::size_t kMaxPeers = 512;
constexpr std::size_t kReceiveBytes = std::size_t{16} * 1024;
// Of a peer: its socket, and a listener and a record to come.
constexpr std::size_t kPeerDescriptors = 3;

// Why what a peer sent is not taken, in words for the daemon's log.
class Refused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Not remembered: prlimit(1) may change it while we run.
std::size_t descriptor_limit() {
  struct rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) throw_errno("getrlimit");
  return limit.rlim_cur;
}

}  // namespace

bool Peers::has_room(std::size_t other_descriptors) const {
  return peers_.size() < kMaxPeers &&
         other_descriptors + kPeerDescriptors * (peers_.size() + 1) <= descriptor_limit();
}

void Peers::accept(std::size_t other_descriptors) {
  while (has_room(other_descriptors)) {
    std::optional<UniqueFd> socket = acceptor_.accept();
    if (!socket) return;
    const std::uint64_t id = next_id_++;
    poller_.add(socket->get(), EPOLLIN, tag(Source::kPeer, id));
    peers_[id].socket = std::move(*socket);
  }
  acceptor_.close(Clock::now());
  if (peers_.size() < kMaxPeers) {
    refusals_.add(
        "whatever comes next: the keeper can open no more files (RLIMIT_NOFILE), so it waits");
  }
}

void Peers::hear(std::uint64_t id) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  try {
    if (!take(found->second, receive_message(found->second.socket.get(), kReceiveBytes))) return;
    hold(found->second);
  } catch (const Refused& refused) {
    refusals_.add(refused.what());
  } catch (const ErrnoError& error) {
    if (error.error() == EAGAIN) return;
    refusals_.add(error.what());
  }
  peers_.erase(found);
}

// Adds what a peer sent to what it has sent before; true when that is complete.
bool Peers::take(Peer& peer, Message message) {
  if (message.truncated) throw Refused("more descriptors came than can be taken");
  if (message.fds.size() + (peer.listener ? 1 : 0) > 1)
    throw Refused("two descriptors came instead of one");
  if (message.end) {
    throw Refused(peer.deadline ? "the state ended before it was complete"
                                : "a peer left without sending anything");
  }
  if (!message.fds.empty()) peer.listener = std::move(message.fds.front());
  if (!peer.deadline) peer.deadline = Clock::now() + kTalkTime;
  if (peer.state.size() + message.bytes.size() > kMaxStateBytes)
    throw Refused("the state is too long");
  peer.state += message.bytes;
  switch (peer.frame.feed(message.bytes)) {
    case ObjectFrame::State::kRubbish:
      throw Refused("the state is not one JSON object");
    case ObjectFrame::State::kIncomplete:
      return false;
    case ObjectFrame::State::kComplete:
      return true;
  }
  return false;
}

void Peers::hold(Peer& peer) {
  if (!peer.listener) throw Refused("the state came without a descriptor");
  if (!is_seccomp_listener(peer.listener.get()))
    throw Refused("the descriptor is no seccomp listener");
  listeners_.hold_new(std::move(peer.listener), peer.state);
}

void Peers::tick(std::size_t other_descriptors) {
  expire();
  if (has_room(other_descriptors)) acceptor_.reopen();
}

void Peers::expire() {
  const Clock::time_point now = Clock::now();
  for (auto peer = peers_.begin(); peer != peers_.end();) {
    if (peer->second.deadline && *peer->second.deadline <= now) {
      refusals_.add("the state was not complete in time");
      peer = peers_.erase(peer);
    } else {
      ++peer;
    }
  }
}

std::optional<Peers::Clock::time_point> Peers::next_tick(std::size_t other_descriptors) const {
  std::optional<Clock::time_point> next;
  const auto consider = [&next](Clock::time_point time) {
    next = next ? std::min(*next, time) : time;
  };
  for (const auto& [id, peer] : peers_) {
    if (peer.deadline) consider(*peer.deadline);
  }
  if (!acceptor_.is_open() && has_room(other_descriptors)) consider(acceptor_.closed_until());
  return next;
}

}  // namespace sockswitch::keeper
