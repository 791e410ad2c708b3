// A published TCP port, as the relay serves it: its doors, and the connections through them.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>

#include "path/network_view.h"
#include "publish/endpoint.h"
#include "publish/neighbours.h"
#include "publish/publication.h"
#include "publish/reactor.h"
#include "publish/stream.h"

namespace sockswitch {

// A listening service of a container.
struct Service {
  std::shared_ptr<NetworkView> view;  // of the container
  int domain = AF_INET;
  bool v6_only = false;
  Address inside;  // the address that it asked for, mostly an unspecified one
};

// What all ports share.
struct RelayShared {
  Reactor& reactor;
  Neighbours& neighbours;
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
  // Doors that had to wait for the end of other connections.
  void resume();

 private:
  class Door;
  class Connection;
  // Where a door's connections go.
  struct Target {
    bool direct = false;
    int domain = AF_INET;
    bool v6_only = false;
    Address inside;  // as Service has it
  };

  void open_reservation(const Target& target);
  void open_inside(const Service& service);
  void close_doors();
  // A service of generation `generation` turned out to be gone.
  void service_gone(std::uint64_t generation);
  // Whether a client from inside was none (see Neighbours).
  bool answer(int client);
  void take(UniqueFd client, const Target& target);
  UniqueFd connect_direct(const Target& target);
  UniqueFd connect_inside(const Target& target);
  SocketSource& source();
  Reactor& reactor();
  bool is_full() const;
  void end(Connection& connection);

  RelayShared& shared_;
  std::shared_ptr<Publication> publication_;
  UniqueFd reservation_;
  std::shared_ptr<NetworkView> view_;
  std::unique_ptr<SocketSource> source_;
  std::unique_ptr<Door> front_;  // the reservation
  std::map<std::pair<int, Address>, std::unique_ptr<Door>> inside_;
  std::map<Connection*, std::unique_ptr<Connection>> connections_;
  // The relay's own ends of its connections to the service: what comes from one of them at the
  // front door has found no service there.
  std::set<Endpoint> outgoing_;
  std::optional<Outlet> outlet_;
  std::uint64_t generation_ = 0;
  int sharing_ = 0;
};

}  // namespace sockswitch
