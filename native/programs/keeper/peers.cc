#include "programs/keeper/peers.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/errno_error.h"
#include "kernel/listener_record.h"

namespace sockswitch::keeper {
namespace {

constexpr std::chrono::seconds kTalkTime{5};
constexpr std::size_t kMaxPeers = 512;
constexpr std::size_t kReceiveBytes = std::size_t{16} * 1024;
// Of a peer: its socket, and a listener and a record to come.
constexpr std::size_t kPeerDescriptors = 3;
// No JSON object begins so.
constexpr char kHandedOver = '\1';

// Why what a peer sent is not taken, in words for the daemon's log.
class Refused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

bool is_connection(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  struct sockaddr_un name = {};
  socklen_t length = sizeof name;
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
         ::getpeername(fd, reinterpret_cast<struct sockaddr*>(&name), &length) == 0 &&
         name.sun_family == AF_UNIX;
}

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
    if (!hear(id, found->second)) return;
    hold(found->second);
  } catch (const Refused& refused) {
    refusals_.add(refused.what());
  } catch (const ErrnoError& error) {
    if (error.error() == EAGAIN) return;
    refusals_.add(error.what());
  }
  peers_.erase(found);
}

// True when all has been said.
bool Peers::hear(std::uint64_t id, Peer& peer) {
  if (!peer.listener && !has_spare_descriptor()) {
    silence(peer);
    return false;
  }
  Message message = receive_message(peer.socket.get(), kReceiveBytes);
  if (!peer.deadline && message.bytes.starts_with(kHandedOver)) {
    adopt(id, peer, message);
    if (message.bytes.empty()) return false;
  }
  return take(peer, std::move(message));
}

// Puts the peer of another keeper in the place of that keeper.
void Peers::adopt(std::uint64_t id, Peer& peer, Message& message) const {
  if (message.truncated || message.fds.empty() || !is_connection(message.fds.front().get()))
    throw Refused("what another keeper handed over is no connection");
  poller_.remove(peer.socket.get());
  peer.socket = std::move(message.fds.front());
  ::fcntl(peer.socket.get(), F_SETFL, O_RDWR | O_NONBLOCK);
  poller_.add(peer.socket.get(), EPOLLIN, tag(Source::kPeer, id));
  message.fds.erase(message.fds.begin());
  message.bytes.erase(0, 1);
}

std::size_t Peers::hand_over(const std::string& path) {
  std::size_t lost = 0;
  for (auto& [id, peer] : peers_) {
    try {
      std::string text(1, kHandedOver);
      text += peer.state;
      if (text.size() > kReceiveBytes) throw ErrnoError(EMSGSIZE, "sendmsg");
      std::vector<int> fds{peer.socket.get()};
      if (peer.listener) fds.push_back(peer.listener.get());
      struct iovec part = {.iov_base = text.data(), .iov_len = text.size()};
      const UniqueFd next = unix_connect(path, SOCK_STREAM | SOCK_NONBLOCK);
      if (!send_message(next.get(), std::span(&part, 1), fds)) throw_errno("sendmsg");
    } catch (const ErrnoError&) {
      ++lost;
    }
  }
  peers_.clear();
  return lost;
}

// A number for what comes; system-wide limits do not concern a file that is there already.
bool Peers::has_spare_descriptor() const {
  return static_cast<bool>(UniqueFd(::fcntl(acceptor_.fd(), F_DUPFD_CLOEXEC, 0)));
}

// An epoll that still looks would wake us without a pause.
void Peers::silence(Peer& peer) const {
  poller_.remove(peer.socket.get());
  peer.silent_until = Clock::now() + kRetryTime;
}

void Peers::hear_again() {
  const Clock::time_point now = Clock::now();
  for (auto& [id, peer] : peers_) {
    if (!peer.silent_until || *peer.silent_until > now) continue;
    poller_.add(peer.socket.get(), EPOLLIN, tag(Source::kPeer, id));
    peer.silent_until.reset();
  }
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
  listeners_.hold_new(std::move(peer.listener), std::move(peer.state));
}

void Peers::tick(std::size_t other_descriptors) {
  expire();
  hear_again();
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
    if (peer.silent_until) consider(*peer.silent_until);
  }
  if (!acceptor_.is_open() && has_room(other_descriptors)) consider(acceptor_.closed_until());
  return next;
}

}  // namespace sockswitch::keeper
