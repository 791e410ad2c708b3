#include "tunnel/outbound.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/errno_error.h"

namespace sockswitch::tunnel {
namespace {

constexpr std::size_t kArena = std::size_t{512} * 1024;
constexpr std::size_t kMaxBatch = 256;  // payloads
constexpr std::size_t kMaxQueue = std::size_t{1024} * 1024;
constexpr std::size_t kShortQueue = std::size_t{128} * 1024;
// How old the oldest byte may be before nothing more comes in: the delay that a queue adds.
constexpr std::chrono::milliseconds kMaxDelay{4};

}  // namespace

bool SendQueue::takes(std::size_t size, Clock::time_point now) const {
  const std::size_t after = this->size() + size;
  if (after > kMaxQueue) return false;
  return after <= kShortQueue || marks_.empty() || now - marks_.front().when < kMaxDelay;
}

void SendQueue::append(const std::uint8_t* from, std::size_t size, Clock::time_point now) {
  if (empty()) {
    bytes_.clear();
    head_ = 0;
  } else if (head_ > kMaxQueue) {
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
  bytes_.insert(bytes_.end(), from, from + size);
  const std::uint64_t end = consumed_ + this->size();
  if (!marks_.empty() && marks_.back().when == now) {
    marks_.back().end = end;
  } else {
    marks_.push_back({end, now});
  }
}

void SendQueue::consume(std::size_t size) {
  head_ += size;
  consumed_ += size;
  while (!marks_.empty() && marks_.front().end <= consumed_) marks_.pop_front();
}

Outbound::Outbound(const Tap& tap, Failure failure)
    : tap_(tap),
      failure_(std::move(failure)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      arena_(kArena) {
  if (!epoll_) throw_errno("epoll_create1");
  if (!wake_) throw_errno("eventfd");
  epoll_event event{.events = EPOLLIN, .data = {.ptr = &wake_}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) throw_errno("epoll_ctl");
  event.data.ptr = nullptr;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, tap_.fd(), &event) != 0) throw_errno("epoll_ctl");
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "ssw-tunnel-out");
}

Outbound::~Outbound() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
}

void Outbound::add(std::shared_ptr<OutboundPeer> peer) {
  post({Order::What::kAdd, std::move(peer), {}});
}
void Outbound::remove(std::shared_ptr<OutboundPeer> peer) {
  post({Order::What::kRemove, std::move(peer), {}});
}
void Outbound::send(std::shared_ptr<OutboundPeer> peer, std::vector<std::uint8_t> message) {
  post({Order::What::kSend, std::move(peer), std::move(message)});
}

void Outbound::post(Order order) {
  {
    std::lock_guard lock(mutex_);
    orders_.push_back(std::move(order));
  }
  ::eventfd_write(wake_.get(), 1);
}

void Outbound::run() {
  std::array<epoll_event, 32> events{};
  for (;;) {
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    if (count < 0 && errno != EINTR) return;
    bool orders = false;
    bool readable = false;
    for (int i = 0; i < count; ++i) {
      void* what = events[static_cast<std::size_t>(i)].data.ptr;
      if (what == &wake_) {
        orders = true;
      } else if (what == nullptr) {
        readable = true;
      } else {
        // Peers leave the set with their orders, which come after: the pointer is good.
        flush_queue(*static_cast<OutboundPeer*>(what));
      }
    }
    if (readable && !tap_gone_) read_tap();
    if (!orders) continue;
    take_orders();
    std::lock_guard lock(mutex_);
    if (stopping_) return;
  }
}

void Outbound::take_orders() {
  eventfd_t count = 0;
  ::eventfd_read(wake_.get(), &count);
  std::vector<Order> orders;
  {
    std::lock_guard lock(mutex_);
    orders.swap(orders_);
  }
  for (Order& order : orders) {
    OutboundPeer& peer = *order.peer;
    switch (order.what) {
      case Order::What::kAdd:
        if (auto before = peers_.find(peer.remote); before != peers_.end()) {
          set_waiting(*before->second, false);
        }
        peers_[peer.remote] = order.peer;
        last_ = nullptr;
        break;
      case Order::What::kRemove: {
        set_waiting(peer, false);
        auto found = peers_.find(peer.remote);
        if (found != peers_.end() && found->second == order.peer) peers_.erase(found);
        last_ = nullptr;
        break;
      }
      case Order::What::kSend:
        if (auto found = peers_.find(peer.remote);
            peer.failed || found == peers_.end() || found->second != order.peer) {
          break;
        }
        peer.queue.append(order.message.data(), order.message.size(), SendQueue::Clock::now());
        flush_queue(peer);
        break;
    }
  }
}

OutboundPeer* Outbound::find(const Remote& remote) {
  if (last_ && last_->remote == remote) return last_;
  auto found = peers_.find(remote);
  if (found == peers_.end()) return nullptr;
  last_ = found->second.get();
  return last_;
}

// The size of what was read; 0: nothing is there.
std::size_t Outbound::read_frame(std::size_t at) {
  for (;;) {
    const ssize_t got = ::read(tap_.fd(), arena_.data() + at, kMaxFrame);
    if (got > 0) return static_cast<std::size_t>(got);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != EAGAIN) {
      // The container has deleted the interface, or moved it where it is not attached.
      tap_gone_ = true;
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, tap_.fd(), nullptr);
      failure_(nullptr, errno);
    }
    return 0;
  }
}

void Outbound::read_tap() {
  std::size_t used = 0;
  for (std::size_t i = 0; i < kMaxBatch && used + kMaxFrame <= arena_.size(); ++i) {
    const std::size_t size = read_frame(used);
    if (size == 0) break;
    dispatch(used, size);
    used += size;
  }
  for (OutboundPeer* peer : touched_) flush_batch(*peer);
  touched_.clear();
}

void Outbound::dispatch(std::size_t at, std::size_t size) {
  std::uint8_t* frame = arena_.data() + at;
  FrameProblem problem = FrameProblem::kNone;
  const auto payload = take_apart(tap_.format(), Bytes(frame, size), problem);
  OutboundPeer* peer = payload ? find({payload->destination, payload->destination_port}) : nullptr;
  if (!peer || peer->failed) {
    unsent_.drop();
    return;
  }
  if (payload->header.segmentation != 0 && !peer->takes_segments) {
    peer->counters->drop();
    return;
  }
  std::uint8_t* message = frame + payload->offset - kHeaderSize;
  write_header(payload->header, message);
  if (peer->batch.empty()) touched_.push_back(peer);
  peer->batch.push_back({message, kHeaderSize + payload->header.size});
}

void Outbound::flush_batch(OutboundPeer& peer) {
  if (!peer.queue.empty()) flush_queue(peer);
  std::size_t sent = 0;
  if (peer.queue.empty() && !peer.failed) {
    msghdr header{};
    header.msg_iov = peer.batch.data();
    header.msg_iovlen = peer.batch.size();
    ssize_t done = 0;
    do {
      done = ::sendmsg(peer.socket->get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (done < 0 && errno == EINTR);
    if (done < 0 && errno != EAGAIN) fail(peer, errno);
    if (done > 0) sent = static_cast<std::size_t>(done);
  }
  const auto now = SendQueue::Clock::now();
  for (const iovec& part : peer.batch) {
    const auto* bytes = static_cast<const std::uint8_t*>(part.iov_base);
    if (sent >= part.iov_len) {
      sent -= part.iov_len;
      peer.counters->count(part.iov_len - kHeaderSize);
      continue;
    }
    // What has left in part must follow, whatever the queue's length.
    if (!peer.failed && (sent > 0 || peer.queue.takes(part.iov_len, now))) {
      peer.queue.append(bytes + sent, part.iov_len - sent, now);
      peer.counters->count(part.iov_len - kHeaderSize);
    } else {
      peer.counters->drop();
    }
    sent = 0;
  }
  peer.batch.clear();
  if (!peer.failed) set_waiting(peer, !peer.queue.empty());
}

void Outbound::flush_queue(OutboundPeer& peer) {
  while (!peer.queue.empty() && !peer.failed) {
    const ssize_t done = ::send(peer.socket->get(), peer.queue.data(), peer.queue.size(),
                                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) fail(peer, errno);
      break;
    }
    peer.queue.consume(static_cast<std::size_t>(done));
  }
  if (!peer.failed) set_waiting(peer, !peer.queue.empty());
}

void Outbound::set_waiting(OutboundPeer& peer, bool waiting) {
  if (peer.waiting == waiting) return;
  epoll_event event{.events = EPOLLOUT, .data = {.ptr = &peer}};
  ::epoll_ctl(epoll_.get(), waiting ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, peer.socket->get(), &event);
  peer.waiting = waiting;
}

void Outbound::fail(OutboundPeer& peer, int error) {
  peer.failed = true;
  set_waiting(peer, false);
  failure_(&peer, error);
}

}  // namespace sockswitch::tunnel
