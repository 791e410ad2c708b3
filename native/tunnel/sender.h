// The way to one peer: from finding it to a route that leads its packets to the tap.
//
//   idle        nothing is tried before `retry_`; `reason` says why
//   connecting  TCP to the peer's address and the tunnel's port
//   greeting    hello is sent; the receiver answers ready, or refused
//   proving     the datagram with the nonce is on its way over the fallback network
//   up          proved arrived: payloads flow, and the route is there
//
// Every step has until the same deadline. In `up`, a new nonce is proved every few seconds. Each
// second the permission is asked for again: a way that is not permitted any more, or leads by
// another device of the host, or whose own address has gone from the host, is down, as is one that
// has not been proved for a while; one that was not permitted is tried as soon as it is. Whatever
// ends a connection takes the route away first, so that packets use the fallback network at once,
// and leads to `idle`.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "kernel/reactor.h"
#include "tunnel/discovery.h"
#include "tunnel/outbound.h"
#include "tunnel/wire.h"

namespace sockswitch::tunnel {

// Whether the daemon may connect to a destination for a container, and by which device.
struct Permission {
  bool allowed = false;
  int device = 0;                 // of the host; pins the socket
  std::optional<Address> source;  // that the fallback network would have; no value: the kernel's
  std::string reason;
};

// What all ways of one container share. On the control thread.
class Ways {
 public:
  Ways() = default;
  virtual ~Ways() = default;
  Ways(const Ways&) = delete;
  Ways& operator=(const Ways&) = delete;

  virtual Reactor& reactor() = 0;
  virtual Outbound& outbound() = 0;
  // Cheap, except where the reason is asked for and it is not allowed.
  virtual Permission permission(const Remote& peer, bool with_reason) = 0;
  // Sends the datagram; returns why it cannot.
  virtual std::string probe(const Remote& peer, const Nonce& nonce, bool first) = 0;
  // A proved peer's route is to come, or to go. `came` throws ErrnoError.
  virtual void came(const Remote& peer) = 0;
  virtual void went(const Remote& peer) = 0;
  virtual void report(bool up, const Remote& peer, const std::string& reason) = 0;
};

class Sender : public Reactor::Watched {
 public:
  using Clock = std::chrono::steady_clock;
  enum class State : std::uint8_t { kIdle, kConnecting, kGreeting, kProving, kUp };

  Sender(Ways& ways, const Remote& peer);
  ~Sender() override;
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  // About once a second.
  void tick();
  // The peer has been heard of: try at once.
  void hurry();
  void ready() override;
  // The thread that sends has met an error on this connection.
  void lost(const OutboundPeer* peer, int error);

  const Remote& peer() const { return peer_; }
  State state() const { return state_; }
  const std::string& reason() const { return reason_; }
  std::chrono::system_clock::time_point since() const { return since_; }
  bool takes_segments() const { return takes_segments_; }
  const Counters& counters() const { return *counters_; }
  // Of the connection, in microseconds; 0 where there is none.
  std::uint32_t round_trip_us() const;

 private:
  void guarded(const std::function<void()>& work);
  void advance();
  void start();
  void connected();
  void read_answers();
  void take(const MessageHeader& header, Bytes body);
  void proved(const Nonce& nonce);
  void prove(bool first = false);
  std::string why_not_still() const;
  void lead();
  void fail(const std::string& reason);
  void enter(State state);

  Ways& ways_;
  Remote peer_;
  State state_ = State::kIdle;
  std::string reason_;
  std::chrono::system_clock::time_point since_ = std::chrono::system_clock::now();
  Clock::time_point retry_;
  Clock::time_point deadline_;
  Clock::time_point last_proof_;
  Clock::time_point next_proof_;
  Nonce nonce_{};
  bool outstanding_ = false;  // the nonce has not been proved yet
  int failures_ = 0;          // in a row
  int device_ = 0;            // of the host, that the connection is pinned to
  bool denied_ = false;       // by the permission, when it was last tried
  bool was_up_ = false;
  bool takes_segments_ = false;
  std::shared_ptr<UniqueFd> socket_;
  std::uint64_t key_ = 0;
  std::vector<std::uint8_t> received_;
  std::shared_ptr<OutboundPeer> outbound_;
  std::shared_ptr<Counters> counters_ = std::make_shared<Counters>();
};

const char* state_name(Sender::State state);

}  // namespace sockswitch::tunnel
