// The receiving side of a container's tunnels: listening sockets of the host, what connects to
// them, and the proofs that arrive in the container.
//
// A connection first says hello with a nonce. It is answered, and kept for a few seconds. When a
// datagram with that nonce is seen in the container, at the container's port that the listening
// socket stands for, the connection is proved: it goes to the receiving thread with a Flow of its
// own address and the address where the datagram arrived. A proof holds for a while and has to be
// repeated. Connections that are not proved are few: at most a fixed number, the oldest goes first.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "kernel/reactor.h"
#include "tunnel/inbound.h"
#include "tunnel/proof.h"

namespace sockswitch::tunnel {

// A published UDP port: where peers send to, and where that leads.
struct PublishedPort {
  std::optional<Address> host;  // no value: all addresses
  std::uint16_t host_port = 0;
  std::uint16_t container_port = 0;
  auto operator<=>(const PublishedPort&) const = default;
};

// What the receiver needs of the container, on the control thread.
class Place {
 public:
  Place() = default;
  virtual ~Place() = default;
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  virtual Reactor& reactor() = 0;
  virtual Inbound& inbound() = 0;
  virtual bool takes_segments() = 0;
  // Whether datagrams of this sender may be taken for those of `peer`: they are its own, or the
  // fallback network gives all senders one address.
  virtual bool may_stand_for(const Address& sender, const Address& destination,
                             const Address& peer) = 0;
  // An address of the container itself, whose packets its kernel would not take from outside.
  virtual bool is_own(const Address& address) = 0;
  // A peer has proved itself: it has sockswitch.
  virtual void heard_of(const Address& peer) = 0;
};

class Receiver {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Receiver(Place& place);
  ~Receiver();
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  // Listens on these and no others; what is taken is tried again from time to time.
  void listen_on(const std::vector<PublishedPort>& ports);
  void tick();
  void seen(const SeenProbe& probe);
  // Of the receiving thread.
  void probe_announced(const std::shared_ptr<InboundConnection>& connection, const Nonce& nonce);
  void ended(const std::shared_ptr<InboundConnection>& connection, const std::string& reason);

  struct Listening {
    PublishedPort port;
    std::string problem;  // empty: it listens
  };
  std::vector<Listening> listening() const;
  struct Source {
    Address peer;
    std::uint16_t port = 0;  // the container's
    std::chrono::system_clock::time_point since;
    std::shared_ptr<Counters> counters;
  };
  std::vector<Source> sources() const;

 private:
  class Door;
  class Visitor;
  struct Proved {
    std::shared_ptr<InboundConnection> connection;
    Clock::time_point last;
    std::chrono::system_clock::time_point since;
    std::optional<Nonce> announced;
  };
  void accept(const Door& door, UniqueFd fd);
  void drop(Visitor& visitor);
  void admit(Visitor& visitor, const SeenProbe& probe);
  bool room_for(const Address& peer);

  Place& place_;
  std::vector<std::unique_ptr<Door>> doors_;
  std::vector<Listening> refused_;
  Clock::time_point retry_;  // of those
  std::list<std::unique_ptr<Visitor>> visitors_;
  std::vector<Proved> proved_;
};

}  // namespace sockswitch::tunnel
