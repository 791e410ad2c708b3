// A published UDP port, as the relay serves it.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <utility>

#include "kernel/reactor.h"
#include "path/network_view.h"
#include "publish/allowance.h"
#include "publish/inside.h"
#include "publish/reservation.h"

namespace sockswitch {

class UdpPort : public Reactor::Watched {
 public:
  // Throws ErrnoError.
  UdpPort(Reactor& reactor, std::shared_ptr<Publication> publication, UniqueFd reservation);
  ~UdpPort() override;
  UdpPort(const UdpPort&) = delete;
  UdpPort& operator=(const UdpPort&) = delete;

  // The container is there: datagrams flow from now on.
  void attach(const std::shared_ptr<NetworkView>& view);
  // Once a tick: ends the sessions that have been idle for long, counts what the kernel dropped.
  void expire();
  // Datagrams of clients.
  void ready() override;

 private:
  class Session;
  struct Client;
  using Clock = std::chrono::steady_clock;
  // A client's endpoint, and the address of the host that it sends to.
  using Key = std::pair<std::pair<Address, std::uint16_t>, Address>;

  Session* session(const Client& client);
  void make_room();
  SocketSource& source();

  Reactor& reactor_;
  std::shared_ptr<Publication> publication_;
  UniqueFd reservation_;
  std::shared_ptr<NetworkView> view_;
  std::unique_ptr<SocketSource> source_;
  InsideAddresses addresses_;
  Allowance new_sessions_;
  std::uint64_t key_ = 0;
  std::uint32_t drops_;  // of the kernel, counted so far
  std::map<Key, std::unique_ptr<Session>> sessions_;
};

}  // namespace sockswitch
