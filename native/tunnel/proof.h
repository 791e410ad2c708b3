// Proving a way: the datagram that goes over the fallback network, sent and seen.
//
// The sender's goes out by the interface that the container's routes name for the peer, whatever
// our own rule says: the socket is bound to that interface, and our table has no route by it.
//
// The receiver's sockets are raw ones: they get a copy of each UDP datagram that has passed the
// container's own firewall, and their filter keeps those that look like a proof and did not come
// by the tap. So nobody who can send by the tap only proves anything.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "kernel/netlink_message.h"
#include "kernel/netns.h"
#include "kernel/reactor.h"
#include "tunnel/discovery.h"
#include "tunnel/wire.h"

namespace sockswitch::tunnel {

// Throws ErrnoError.
Nonce fresh_nonce();

class ProbeSender {
 public:
  // Throws ErrnoError.
  explicit ProbeSender(SocketSource& source);
  // Returns why it cannot be sent; empty if it is on its way. `first`: of a connection.
  //
  // The fallback network remembers a sender by its port, with the host's address and route as they
  // were then (pasta: until nothing came for 180 s). So a new connection is proved from another
  // port, where the last change is some time ago: each change costs the fallback network a flow for
  // each peer.
  std::string send(const Remote& to, const Nonce& nonce, bool first);

 private:
  void change_ports();

  std::chrono::steady_clock::time_point changed_;
  NetlinkSocket routes_;
  UniqueFd v4_;
  UniqueFd v6_;
};

struct SeenProbe {
  Nonce nonce{};
  Address source;
  Address destination;
  std::uint16_t destination_port = 0;
};

// IPv4, with its IP header, as a raw socket delivers it. No value for what is no proof.
std::optional<SeenProbe> parse_probe_v4(Bytes packet);
// IPv6, from the UDP header on; addresses come beside it.
std::optional<SeenProbe> parse_probe_v6(Bytes packet);

class ProbeReceiver {
 public:
  using Seen = std::function<void(const SeenProbe&)>;
  // `tap`: the interface whose datagrams prove nothing. Throws ErrnoError.
  ProbeReceiver(Reactor& reactor, SocketSource& source, int tap, Seen seen);
  ~ProbeReceiver();
  ProbeReceiver(const ProbeReceiver&) = delete;
  ProbeReceiver& operator=(const ProbeReceiver&) = delete;

 private:
  class Socket;
  std::unique_ptr<Socket> v4_;
  std::unique_ptr<Socket> v6_;
};

}  // namespace sockswitch::tunnel
