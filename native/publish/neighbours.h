// The way from one accelerated container to another's published port that does not pass the relay:
// the host's socket that the service listens on, instead of its address on a Podman network.
//
// Whether a container may take it is not concluded from addresses, which containers can give
// themselves: it is tried. A connection is made from the container's network namespace to the
// address in question. If the relay's door in the other container accepts that very connection, and
// what the door writes comes out at this end, then the network between the two leads there. What a
// network keeps from a container (isolation, firewalls, internal networks) stays out of reach so. A
// proof holds for some seconds, and ends at once when routes, links or addresses change on either
// side, or the service goes away.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "kernel/endpoint.h"
#include "path/network_view.h"
#include "publish/peer_names.h"
#include "publish/reservation.h"

namespace sockswitch {

struct Service;  // publish/tcp_port.h

// A relay's door in a container whose service has a socket of the host.
struct NeighbourDoor {
  std::shared_ptr<Publication> publication;
  std::shared_ptr<NetworkView> view;
  int domain = AF_INET;
  bool v6_only = false;
  Address inside;  // the address that the service asked for
  // Held while a connection to the port is made: it is not released meanwhile.
  std::shared_mutex in_use;
  std::atomic<bool> open{true};
};

// Where the service is to be had on the host.
struct Shortcut {
  std::shared_ptr<NeighbourDoor> door;
  Outlet outlet;
  bool one_family = false;  // as in RouteDecision
  Address client;           // by which the service would know the client on their network

  // Connects a host socket to it, and then pins it to the device (before, the service could not be
  // shown the name: programs/names.cc). True only if the connection is there, so that it cannot end
  // at whoever has the port later, and the socket is pinned.
  bool connect(int fd, int domain, const NameMaps& names) const;
  std::string text() const;
};

class Neighbours {
 public:
  struct Found {
    // No published port of a neighbour is there: the others say nothing.
    bool published = false;
    std::optional<Shortcut> shortcut;
    std::string why;  // where there is none
  };
  // What stands for `to`, which is on a Podman network, for the container of `from`. Waits for some
  // milliseconds at most.
  Found find(const Destination& to, NetworkView& from, const Permissions& permissions);

  // The relay's doors come and go.
  void opened(const std::shared_ptr<Publication>& publication, const Service& service);
  void closed(std::uint64_t publication);
  // A door has accepted `client`. Whether that is a connection that is made to try the way, which
  // then is answered and over.
  bool answer(std::uint64_t publication, int client);

 private:
  using Clock = std::chrono::steady_clock;
  using Token = std::array<char, 16>;
  struct Knock {
    std::uint64_t publication = 0;
    Token token{};
  };
  struct Key {
    std::uint64_t from = 0;  // network namespace
    bool network_admin = false;
    bool ignores_firewall = false;
    Address address;
    std::uint16_t port = 0;
    auto operator<=>(const Key&) const = default;
  };
  struct Proof {
    Found found;
    std::uint64_t from_generation = 0;
    std::uint64_t door_generation = 0;
    Clock::time_point until;
  };

  std::shared_ptr<NeighbourDoor> door_at(const Destination& to, const NetworkView& from);
  Found prove(const std::shared_ptr<NeighbourDoor>& door, const Destination& to, NetworkView& from,
              const Permissions& permissions);
  // The connection's own address, where it came out at the door.
  std::optional<Address> knock(const NeighbourDoor& door, const Destination& to,
                               const NetworkView& from);

  std::mutex mutex_;
  std::multimap<std::uint64_t, std::shared_ptr<NeighbourDoor>> doors_;  // by publication
  std::map<Endpoint, Knock> knocks_;                                    // by their own end
  std::map<Key, Proof> proofs_;
};

}  // namespace sockswitch
