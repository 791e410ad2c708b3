#include "programs/keeper/daemon_link.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/errno_error.h"

namespace sockswitch::keeper {
namespace {

// Reserved ports; each takes a descriptor.
constexpr std::size_t kMaxKept = 16384;
constexpr std::size_t kMaxKeptTextBytes = 1024;

// False where the socket has no room now. Throws ErrnoError.
bool send(int socket, KeeperHeader header, std::string_view text, std::span<const int> fds) {
  header.length = static_cast<std::uint32_t>(text.size());
  // iovec has no const form; sendmsg(2) only reads.
  const std::array<struct iovec, 2> parts = {{
      {.iov_base = &header, .iov_len = sizeof(header)},
      {.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()},
  }};
  return send_message(socket, parts, fds);
}

bool has_hung_up(int socket) {
  struct pollfd request = {.fd = socket, .events = POLLRDHUP, .revents = 0};
  return ::poll(&request, 1, 0) > 0;
}

}  // namespace

void DaemonLink::accept() {
  while (std::optional<UniqueFd> socket = acceptor_.accept()) {
    // The end of the former one may stand later in this round's events.
    if (daemon_ && has_hung_up(daemon_.get())) hear();
    if (daemon_) {
      turn_away(socket->get());
      continue;
    }
    poller_.add(socket->get(), EPOLLIN, tag(Source::kDaemon));
    daemon_ = std::move(*socket);
    if (shutdown_ == KeeperShutdown::kWhenIdle) shutdown_.reset();
  }
}

void DaemonLink::turn_away(int socket) {
  try {
    send(socket, {.type = KeeperMessage::kBusy}, {}, {});
  } catch (const ErrnoError&) {  // NOLINT(bugprone-empty-catch): it has left already
  }
}

void DaemonLink::drop() {
  daemon_.reset();
  hello_sent_ = false;
  next_to_send_ = 0;
  next_kept_ = 0;
  kept_sent_ = false;
  ready_sent_ = false;
  awaiting_room_ = false;
  send_again_at_.reset();
}

void DaemonLink::hear() {
  try {
    while (daemon_) {
      Message message = receive_message(daemon_.get(), sizeof(KeeperHeader) + kMaxKeptTextBytes);
      KeeperHeader header;
      if (message.end || message.bytes.size() < sizeof(header)) return drop();
      std::memcpy(&header, message.bytes.data(), sizeof(header));
      if (message.truncated || header.magic != kKeeperMagic ||
          header.length != message.bytes.size() - sizeof(header)) {
        return drop();
      }
      obey(header, std::move(message));
    }
  } catch (const ErrnoError& error) {
    if (error.error() != EAGAIN) drop();
  }
}

void DaemonLink::obey(const KeeperHeader& header, Message message) {
  switch (header.type) {
    case KeeperMessage::kForget:
      return listeners_.release(header.id);
    case KeeperMessage::kHold:
      return hold_old(header.id, std::move(message.fds));
    case KeeperMessage::kKeep:
      return keep(header.id, std::move(message));
    case KeeperMessage::kDrop:
      kept_.erase(header.id);
      return;
    case KeeperMessage::kShutdown:
      if (!is_ending()) shutdown_ = static_cast<KeeperShutdown>(header.id);
      return;
    default:
      drop();
  }
}

// Without room it is not kept: it then ends with the daemon, as it would without us.
void DaemonLink::keep(std::uint64_t id, Message message) {
  if (message.fds.size() != 1) return drop();
  if (kept_.size() >= kMaxKept) return;
  kept_.insert_or_assign(id, Kept{.descriptor = std::move(message.fds.front()),
                                  .text = message.bytes.substr(sizeof(KeeperHeader))});
}

// The daemon has this one: it is not to be sent again.
void DaemonLink::hold_old(std::uint64_t id, std::vector<UniqueFd> fds) {
  if (!ready_sent_ || fds.size() != 2) return drop();
  const std::uint64_t next = std::max(next_to_send_, id + 1);
  if (!listeners_.hold_old(id, std::move(fds[0]), std::move(fds[1]))) return drop();
  next_to_send_ = next;
}

void DaemonLink::serve() {
  if (!daemon_ || (send_again_at_ && Clock::now() < *send_again_at_)) return;
  send_again_at_.reset();
  try {
    const bool all_sent =
        send_hello() && send_kept() && send_listeners() && send_ready() && send_refusals();
    if (all_sent == awaiting_room_) {
      poller_.modify(daemon_.get(), all_sent ? EPOLLIN : EPOLLIN | EPOLLOUT, tag(Source::kDaemon));
      awaiting_room_ = !all_sent;
    }
  } catch (const ErrnoError& error) {
    // Too many descriptors in flight (ETOOMANYREFS) or no memory: it has to read some first.
    if (error.error() == ETOOMANYREFS || error.error() == ENOBUFS || error.error() == ENOMEM) {
      send_again_at_ = Clock::now() + kRetryTime;
    } else {
      hear();
      drop();
    }
  }
}

bool DaemonLink::send_hello() {
  if (hello_sent_) return true;
  const std::array<int, 1> fds = {listening_socket_};
  hello_sent_ = send(daemon_.get(), {.type = KeeperMessage::kHello, .id = kKeeperVersion}, {}, fds);
  return hello_sent_;
}

// What an earlier daemon left; nothing is added to that by this one.
bool DaemonLink::send_kept() {
  while (!kept_sent_) {
    const auto next = kept_.lower_bound(next_kept_);
    if (next == kept_.end()) {
      kept_sent_ = true;
      break;
    }
    const std::array<int, 1> fds = {next->second.descriptor.get()};
    const KeeperHeader header = {.type = KeeperMessage::kKept, .id = next->first};
    if (!send(daemon_.get(), header, next->second.text, fds)) return false;
    next_kept_ = next->first + 1;
  }
  return true;
}

bool DaemonLink::send_listeners() {
  const auto& all = listeners_.held();
  for (auto held = all.lower_bound(next_to_send_); held != all.end(); ++held) {
    const std::array<int, 2> fds = {held->second.listener.get(), held->second.record.get()};
    const KeeperHeader header = {.type = KeeperMessage::kListener, .id = held->first};
    if (!send(daemon_.get(), header, {}, fds)) return false;
    next_to_send_ = held->first + 1;
  }
  return true;
}

bool DaemonLink::send_ready() {
  if (!ready_sent_) ready_sent_ = send(daemon_.get(), {.type = KeeperMessage::kReady}, {}, {});
  return ready_sent_;
}

bool DaemonLink::send_refusals() {
  while (!refusals_.empty()) {
    if (!send(daemon_.get(), {.type = KeeperMessage::kRefused}, refusals_.front(), {}))
      return false;
    refusals_.pop();
  }
  return true;
}

bool DaemonLink::is_owed_nothing() const {
  const auto& all = listeners_.held();
  return !daemon_ || (ready_sent_ && all.lower_bound(next_to_send_) == all.end());
}

std::optional<DaemonLink::Clock::time_point> DaemonLink::next_tick() const {
  std::optional<Clock::time_point> next = send_again_at_;
  if (!acceptor_.is_open()) {
    next = next ? std::min(*next, acceptor_.closed_until()) : acceptor_.closed_until();
  }
  return next;
}

}  // namespace sockswitch::keeper
