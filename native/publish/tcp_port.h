// A published TCP port, as the relay serves it: its doors, and the connections through them.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "kernel/endpoint.h"
#include "kernel/reactor.h"
#include "path/network_view.h"
#include "publish/inside.h"
#include "publish/neighbours.h"
#include "publish/peer_names.h"
#include "publish/pins.h"
#include "publish/reservation.h"
#include "publish/stream.h"

namespace sockswitch {

// A listening service of a container.
struct Service {
  std::shared_ptr<NetworkView> view;  // of the container
  int domain = AF_INET;
  bool v6_only = false;
  Address inside;  // the address that it asked for, mostly an unspecified one

  bool takes(bool v4) const { return v4 ? domain == AF_INET || !v6_only : domain == AF_INET6; }
};

// What all ports share.
struct RelayShared {
  Reactor& reactor;
  Neighbours& neighbours;
  const PeerNames& names;
  Pins& pins;
  PipePool pipes;
  std::size_t connections = 0;
  std::size_t max_connections = 0;
};

class TcpPort {
 public:
  TcpPort(RelayShared& shared, std::shared_ptr<Publication> publication, UniqueFd reservation);
  ~TcpPort();
  TcpPort(const TcpPort&) = delete;
  TcpPort& operator=(const TcpPort&) = delete;

  void attach(const std::shared_ptr<NetworkView>& view);
  void serve_direct(const Service& service);
  void serve_inside(const Service& service);
  // Whether a socket of the service may be bound to the port. Calls nest.
  void share(bool on);
  // The service's sockets have been pinned to another device.
  void moved();
  // Doors that had to wait for the end of other connections.
  void resume();

 private:
  class Door;
  class Connection;
  // A service's socket, which takes one family of clients, or both.
  struct Target {
    bool direct = false;
    Service service;
    std::uint64_t generation = 0;
  };
  struct InsideDoor {
    Service service;
    std::unique_ptr<Door> door;
  };

  void serve(const Service& service, bool direct);
  void open_reservation();
  void open_inside(const Service& service);
  // Those that take a client which `service` takes.
  void close_inside(const Service& service);
  void close_doors();
  // What was proved of the service for neighbours holds no more.
  void reopen_for_neighbours();
  std::vector<Target> targets_for(const Door& door, int client) const;
  // The device that a direct service's socket is pinned to, while it listens.
  std::optional<int> device_of(const Service& service) const;
  std::optional<Outlet> outlet_of(const Service& service) const;
  // A service of generation `generation` refused a connection. It is gone unless it still listens,
  // on a device that has lost its address.
  void service_gone(std::uint64_t generation);
  // Whether a client from inside was none (see Neighbours).
  bool answer(int client);
  void take(const Door& door, UniqueFd client);
  // The name that the service is to see for a client that has come by `door`; none: the host's.
  std::optional<Endpoint> name_of(const Door& door, int client) const;
  // Empty, with errno, where there is nothing to connect to.
  UniqueFd connect(const Target& target, const Door& door, int client,
                   const std::optional<Endpoint>& name);
  UniqueFd connect_direct(const Service& service, const std::optional<Endpoint>& client);
  // To a service's socket that is pinned to the loopback device: from its own port, which nobody
  // else has, and from a loopback address of its own.
  UniqueFd connect_home(const std::optional<Endpoint>& name);
  UniqueFd connect_inside(const Service& service);
  // Where a service is reached in its container; no value if clients would be seen as loopback.
  std::optional<Address> address_inside(const Service& service);
  SocketSource& source();
  Reactor& reactor();
  bool is_full() const;
  void end(Connection& connection);

  RelayShared& shared_;
  std::shared_ptr<Publication> publication_;
  UniqueFd reservation_;
  std::shared_ptr<NetworkView> view_;
  std::unique_ptr<SocketSource> source_;
  InsideAddresses addresses_;
  std::unique_ptr<Door> front_;  // the reservation
  std::map<std::pair<int, Address>, InsideDoor> inside_;
  std::uint32_t next_home_ = 0;
  // By the family of clients that they take: IPv4, IPv6.
  std::array<std::optional<Target>, 2> served_;
  std::map<Connection*, std::unique_ptr<Connection>> connections_;
  // The relay's own ends of its connections to the service: what comes from one of them at the
  // front door has found no service there. With the generation of the service that it went to.
  std::map<Endpoint, std::uint64_t> outgoing_;
  std::optional<Outlet> outlet_;
  std::uint64_t generation_ = 0;
  int sharing_ = 0;
};

}  // namespace sockswitch
