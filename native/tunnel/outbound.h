// From the tap to the peers: a thread that reads what the kernel's tunnel sends, and sends the
// payloads over the connection of the peer that they are for.
//
// Everything that can be read is gathered, up to an arena's size, and each peer's part of it leaves
// with one sendmsg(2). Payloads are not copied: the message header is written in front of each one,
// over the headers that the kernel had put there. What a connection does not take is queued for its
// peer, and a queue that is long, or whose oldest byte is, takes nothing more: the payload is
// dropped, as a link with a full queue does. The tap is read all the same, so no peer waits for
// another one.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "tunnel/discovery.h"
#include "tunnel/frame.h"
#include "tunnel/tap.h"

namespace sockswitch::tunnel {

struct Counters {
  std::atomic<std::uint64_t> bytes{0};     // of payloads
  std::atomic<std::uint64_t> payloads{0};  // one may stand for many packets
  std::atomic<std::uint64_t> dropped{0};

  void count(std::size_t size) {
    bytes.fetch_add(size, std::memory_order_relaxed);
    payloads.fetch_add(1, std::memory_order_relaxed);
  }
  void drop() { dropped.fetch_add(1, std::memory_order_relaxed); }
};

// What waits for a connection to take it. Bounded in bytes and in time.
class SendQueue {
 public:
  using Clock = std::chrono::steady_clock;

  bool empty() const { return head_ == bytes_.size(); }
  std::size_t size() const { return bytes_.size() - head_; }
  const std::uint8_t* data() const { return bytes_.data() + head_; }
  // Whether a message of this size may still come in.
  bool takes(std::size_t size, Clock::time_point now) const;
  void append(const std::uint8_t* from, std::size_t size, Clock::time_point now);
  void consume(std::size_t size);

 private:
  struct Mark {
    std::uint64_t end = 0;  // of what came then, counted from the queue's first byte ever
    Clock::time_point when;
  };
  std::vector<std::uint8_t> bytes_;
  std::size_t head_ = 0;
  std::uint64_t consumed_ = 0;
  std::deque<Mark> marks_;
};

// A proved connection. The socket is shared with whoever reads from it.
struct OutboundPeer {
  Remote remote;
  std::shared_ptr<UniqueFd> socket;
  bool takes_segments = false;
  std::shared_ptr<Counters> counters;

  // The thread's own.
  SendQueue queue;
  std::vector<iovec> batch;
  bool waiting = false;  // for room in the socket
  bool failed = false;
};

class Outbound {
 public:
  // Called on the thread: the connection has failed, or (no peer) the tap is gone.
  using Failure = std::function<void(const OutboundPeer*, int error)>;

  // Throws ErrnoError.
  Outbound(const Tap& tap, Failure failure);
  ~Outbound();
  Outbound(const Outbound&) = delete;
  Outbound& operator=(const Outbound&) = delete;

  // From any other thread; return at once.
  void add(std::shared_ptr<OutboundPeer> peer);
  void remove(std::shared_ptr<OutboundPeer> peer);
  // A whole message that is not dropped.
  void send(std::shared_ptr<OutboundPeer> peer, std::vector<std::uint8_t> message);
  // Frames that went to nobody: no such peer (any more), no tunnel's datagram.
  const Counters& unsent() const { return unsent_; }

 private:
  struct Order {
    enum class What : std::uint8_t { kAdd, kRemove, kSend } what;
    std::shared_ptr<OutboundPeer> peer;
    std::vector<std::uint8_t> message;
  };
  void post(Order order);
  void run();
  void take_orders();
  void read_tap();
  std::size_t read_frame(std::size_t at);
  void dispatch(std::size_t at, std::size_t size);
  OutboundPeer* find(const Remote& remote);
  void flush_batch(OutboundPeer& peer);
  void flush_queue(OutboundPeer& peer);
  void set_waiting(OutboundPeer& peer, bool waiting);
  void fail(OutboundPeer& peer, int error);

  const Tap& tap_;
  Failure failure_;
  Counters unsent_;
  UniqueFd epoll_;
  UniqueFd wake_;
  std::vector<std::uint8_t> arena_;
  std::map<Remote, std::shared_ptr<OutboundPeer>> peers_;
  OutboundPeer* last_ = nullptr;  // found last: most frames in a row are for one peer
  std::vector<OutboundPeer*> touched_;
  bool tap_gone_ = false;

  std::mutex mutex_;
  std::vector<Order> orders_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace sockswitch::tunnel
