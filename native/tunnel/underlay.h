// An underlay for the kernel's UDP tunnels of one container: what carries their packets from host
// to host in the place of the fallback network.
//
// Theory of operation. A kernel tunnel (VXLAN, Geneve, WireGuard) sends UDP datagrams to its
// remotes. No system call sends them, so nothing can be switched; but a route decides where they
// leave. The underlay is a tap in the container's network namespace, a rule that leads the tunnel's
// UDP port to a routing table of ours, and in that table a route for each peer that is reached:
//
//   pod -> bridge -> flannel.1 -> UDP 8472 to the peer -> rule -> route -> ssw0 (tap)
//     -> daemon: thread `out` -> TCP between two hosts -> peer's daemon: thread `in`
//     -> ssw0 there -> UDP 8472 -> flannel.1 -> bridge -> pod
//
//   tap.h        the interface, the rule, the routes
//   discovery.h  which tunnels there are, and their remotes: the kernel's tables
//   sender.h     the way to one peer, from TCP connection to route
//   receiver.h   who connects here, and who has proved to be let in
//   proof.h      the datagram that goes the way of the fallback network
//   outbound.h, inbound.h  the two data threads
//   wire.h       what goes over the connection
//   frame.h      what goes over the tap
//
// Proof before use: a peer is let in only if a nonce of its connection arrives in the container by
// a datagram over the fallback network. So the underlay joins exactly those that the fallback
// network joins, for as long as it does: proofs are repeated, and one that fails takes the route
// away. The receiver builds the outer headers itself, so what a peer can bring is what it could
// bring without the underlay: UDP payloads to the tunnel's port, from its own address.
//
// Falling back is removing a route. No connection, no proof, no daemon: no route, and the packets
// take the fallback network. When the daemon dies the kernel takes tap and routes away by itself;
// the rule stays, leads nowhere, and is removed by the next daemon, or by `sockswitch uninstall`.
//
// Threads: one controls (this file; all of sender.h, receiver.h, proof.h runs on it), two carry
// data. Whatever the container does to tap, rule or routes ends at its own tunnel: a route or rule
// that is gone is set again with the next proof, and so is the tap's MTU when it is changed; a tap
// that is gone is made anew a few times, then no more.
//
// Limits of one container: kMaxPeers remotes; 1 MiB queued for each peer, 64 KiB kept for each that
// sends, 1 MiB for both data threads. What is beyond stays on the fallback network.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "kernel/netlink_message.h"
#include "kernel/netns.h"
#include "tunnel/discovery.h"
#include "tunnel/inbound.h"
#include "tunnel/outbound.h"
#include "tunnel/proof.h"
#include "tunnel/receiver.h"
#include "tunnel/sender.h"
#include "tunnel/tap.h"

namespace sockswitch::tunnel {

inline constexpr std::size_t kMaxPeers = 256;

// What an underlay needs of its container: the one way by which it knows namespaces and policy.
struct Surroundings {
  // A maker of sockets in the container's network namespace. Throws ErrnoError.
  std::function<std::unique_ptr<SocketSource>()> start_source;
  // Whether a connect of the container to there would be switched; why not, if that is asked for.
  // From any thread.
  std::function<Permission(const Destination&, bool with_reason)> permission;
};

struct Options {
  // UDP ports whose tunnels are carried; no value: all.
  std::optional<std::set<std::uint16_t>> ports;
  std::vector<PublishedPort> published;
};

struct PeerStatus {
  Remote remote;
  std::string state;   // state_name()
  std::string reason;  // why not up
  std::chrono::system_clock::time_point since;
  std::uint64_t sent_bytes = 0;
  std::uint64_t sent_payloads = 0;
  std::uint64_t dropped = 0;
  std::uint32_t round_trip_us = 0;
};

struct SourceStatus {
  Address address;
  std::uint16_t port = 0;
  std::chrono::system_clock::time_point since;
  std::uint64_t received_bytes = 0;
  std::uint64_t received_payloads = 0;
  std::uint64_t dropped = 0;
};

struct Status {
  std::string tap;
  bool segments = false;  // the kernel hands over one packet in the place of many
  std::vector<TunnelDevice> devices;
  std::vector<Receiver::Listening> listening;
  std::vector<PeerStatus> peers;
  std::vector<SourceStatus> sources;
  std::uint64_t unsent = 0;  // frames on the tap that were for no peer
  std::string problem;       // why nothing is carried, or not all; empty otherwise
};

class Underlay {
 public:
  // `up`: a peer's way has come, or gone for `reason`. Called on the control thread.
  using Report = std::function<void(bool up, const Remote& peer, const std::string& reason)>;

  // Throws ErrnoError.
  Underlay(Surroundings surroundings, Options options, Report report);
  ~Underlay();
  Underlay(const Underlay&) = delete;
  Underlay& operator=(const Underlay&) = delete;

  void configure(Options options);
  Status status() const;

 private:
  class Control;
  std::unique_ptr<Control> control_;
};

}  // namespace sockswitch::tunnel
