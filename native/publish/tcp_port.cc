// Theory of operation.
//
//   idle      the reservation is bound and does not listen: clients are refused by the kernel
//   direct    the service has a socket of the host, pinned to a device. The kernel gives it what
//             arrives there. The rest comes here: what arrives elsewhere (loopback above all) at
//             the reservation, the front door; what comes from inside the container, or from its
//             neighbours, at a listening socket in its network namespace, an inside door, which has
//             the address that the service asked for. Both are connected to the host's own address
//             on the device, which the kernel brings to the service's socket.
//   inside    the service has a socket of the container: its port is published on loopback only, or
//             its socket could not be switched. The front door is connected to it by sockets made
//             in the container's namespace. Inside the container nothing is changed.
//
// A service has one socket for both families, or one for each, and these are independent: one may
// be direct and the other inside, and each comes and goes by itself. A client is brought to the
// socket that takes its family, or, where that is not to be had, to the other one.
//
// No client is shown to a service as a loopback address, which services trust, except one that came
// in over the container's own loopback (publish/peer_names.h): where the container has no other
// address, nothing is relayed inside (publish/inside.h).
//
// Nothing tells that a service has stopped to listen, since close(2) is not trapped. It is noticed
// at the next connection that is refused, and the port is idle again: that client sees a reset, the
// next ones are refused. In state direct, a connection to a service that is gone arrives at the
// front door, because that is bound to the same port: it is recognized by its other end. A service
// that listens again is a new generation; what is learnt late about an older one does not count.
//
// The device of a direct service may lose its address: it became a port of a bridge, or part of a
// bond, or the address went to a VLAN on it. No client reaches the service's socket then, until it
// is pinned to the device that has the address now (publish/pins.h), or its own has it back. It is
// not taken for gone: clients of the doors are reset meanwhile.
//
// Clients from inside and neighbours are seen with their own addresses where names can be had
// (publish/peer_names.h), else with the host's; those of the reservation with the host's.
//
// A connection's own end is bound to the address that it goes to. So if that has ceased to be the
// host's, nothing is sent to whoever has it now.
#include "publish/tcp_port.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/errno_error.h"
#include "kernel/linux_abi.h"
#include "kernel/sock_diag.h"
#include "kernel/syscalls.h"
#include "publish/inside.h"

namespace sockswitch {
namespace {

constexpr int kBacklog = 4096;  // or net.core.somaxconn, if that is less
constexpr int kAcceptedAtOnce = 64;
// A source may be taken, by a connection that is not quite gone.
constexpr int kHomeAttempts = 8;
// One container must not take all of the relay.
constexpr std::size_t kMaxOfPort = 2048;

bool is_listening(int fd) { return int_option(fd, SOL_SOCKET, SO_ACCEPTCONN).value_or(0) != 0; }

void switch_on(int fd, int level, int name) {
  int on = 1;
  ::setsockopt(fd, level, name, &on, sizeof on);
}

// Whether a connection that came in at an inside door was made in the container itself.
bool is_of_container(int client) {
  const auto peer = peer_endpoint(client);
  const auto own = own_endpoint(client);
  return peer && own && (is_loopback(peer->first) || peer->first == own->first);
}

}  // namespace

class TcpPort::Door : public Reactor::Watched {
 public:
  // The reservation: the front door.
  Door(TcpPort& port, int fd)
      : port_(port), fd_(fd), key_(port.reactor().watch(*this, {fd}, EPOLLIN)) {}
  // An inside one.
  Door(TcpPort& port, UniqueFd fd) : Door(port, fd.get()) { owned_ = std::move(fd); }
  ~Door() override { close(); }
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;

  bool is_inside() const { return static_cast<bool>(owned_); }
  // The last that is done with the port: a buried door may outlive it.
  void close() {
    if (!closed_) port_.reactor().unwatch(key_, {fd_});
    closed_ = true;
  }

  void ready() override {
    for (int i = 0; i < kAcceptedAtOnce; ++i) {
      if (port_.is_full()) return pause();
      UniqueFd client(::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!client && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
        return pause();
      }
      if (!client) return;
      if (owned_ && port_.answer(client.get())) continue;
      port_.take(*this, std::move(client));
      if (closed_) return;
    }
  }
  void resume() {
    if (!paused_) return;
    paused_ = false;
    port_.reactor().set_events(key_, fd_, EPOLLIN);
  }

 private:
  void pause() {
    paused_ = true;
    port_.reactor().set_events(key_, fd_, 0);
  }

  TcpPort& port_;
  int fd_;
  UniqueFd owned_;
  std::uint64_t key_;
  bool paused_ = false;
  bool closed_ = false;
};

class TcpPort::Connection : public Reactor::Watched {
 public:
  Connection(TcpPort& port, const Target& target, UniqueFd client, UniqueFd service)
      : port_(port),
        generation_(target.generation),
        own_end_(target.direct ? own_endpoint(service.get()) : std::nullopt),
        stream_(std::move(client), std::move(service), port.shared_.pipes),
        key_(port.reactor().watch(*this, {stream_.client(), stream_.service()},
                                  EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
    if (own_end_) port_.outgoing_.insert_or_assign(*own_end_, generation_);
  }
  ~Connection() override { close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // As for doors.
  void close() {
    if (closed_) return;
    closed_ = true;
    port_.reactor().unwatch(key_, {stream_.client(), stream_.service()});
    if (own_end_) port_.outgoing_.erase(*own_end_);
  }

  void ready() override {
    if (connecting_ && !connected()) return;
    switch (stream_.pump()) {
      case Stream::State::kWaiting:
        return;
      case Stream::State::kBusy:
        return port_.reactor().again(key_);
      case Stream::State::kBroken:
        stream_.reset();
        [[fallthrough]];
      case Stream::State::kDone:
        port_.end(*this);
    }
  }

 private:
  bool connected() {
    tcp_info information{};
    socklen_t length = sizeof information;
    ::getsockopt(stream_.service(), IPPROTO_TCP, TCP_INFO, &information, &length);
    if (information.tcpi_state == TCP_SYN_SENT) return false;
    connecting_ = false;
    int error = int_option(stream_.service(), SOL_SOCKET, SO_ERROR).value_or(ECONNREFUSED);
    if (error == 0) return true;
    stream_.reset();
    if (error == ECONNREFUSED) port_.service_gone(generation_);
    port_.end(*this);
    return false;
  }

  TcpPort& port_;
  std::uint64_t generation_;
  std::optional<Endpoint> own_end_;
  Stream stream_;
  std::uint64_t key_;
  bool connecting_ = true;
  bool closed_ = false;
};

TcpPort::TcpPort(RelayShared& shared, std::shared_ptr<Publication> publication,
                 UniqueFd reservation)
    : shared_(shared), publication_(std::move(publication)), reservation_(std::move(reservation)) {}

TcpPort::~TcpPort() {
  shared_.pins.forget(publication_->id);
  shared_.neighbours.closed(publication_->id);
  shared_.connections -= connections_.size();
}

Reactor& TcpPort::reactor() { return shared_.reactor; }

bool TcpPort::is_full() const {
  return connections_.size() >= kMaxOfPort || shared_.connections >= shared_.max_connections;
}

void TcpPort::resume() {
  if (is_full()) return;
  if (front_) front_->resume();
  for (const auto& [name, inside] : inside_) inside.door->resume();
}

void TcpPort::share(bool on) {
  sharing_ += on ? 1 : -1;
  int value = sharing_ > 0 ? 1 : 0;
  for (int option : {SO_REUSEADDR, SO_REUSEPORT}) {
    ::setsockopt(reservation_.get(), SOL_SOCKET, option, &value, sizeof value);
  }
}

void TcpPort::attach(const std::shared_ptr<NetworkView>& view) {
  if (view_) return;
  view_ = view;
  if (front_ || !is_listening(reservation_.get())) return;
  // An earlier daemon served it, and the service still is there: as what, its socket tells.
  bool direct = false;
  for (const PortHolder& holder : find_port_holders(IPPROTO_TCP, publication_->mapping.host_port)) {
    if (holder.device == 0) continue;
    direct = true;
    serve_direct({view, holder.domain, holder.v6_only, Address{}});
  }
  if (!direct) serve_inside({view, AF_INET, false, Address{}});
}

void TcpPort::serve(const Service& service, bool direct) {
  view_ = service.view;
  Target target{direct, service, ++generation_};
  for (bool v4 : {true, false}) {
    if (service.takes(v4)) served_[v4 ? 0 : 1] = target;
  }
  open_reservation();
}

void TcpPort::serve_direct(const Service& service) {
  outlet_.reset();
  serve(service, true);
  shared_.pins.watch(publication_, service.view->identity());
  open_inside(service);
}

void TcpPort::serve_inside(const Service& service) {
  view_ = service.view;
  close_inside(service);
  if (!address_inside(service)) {
    throw ErrnoError(EADDRNOTAVAIL, "connect",
                     "port " + std::to_string(publication_->mapping.container_port) +
                         ": the container has no address but loopback's for its clients");
  }
  serve(service, false);
}

void TcpPort::open_reservation() {
  if (!is_listening(reservation_.get())) {
    share(true);
    int error = ::listen(reservation_.get(), kBacklog) == 0 ? 0 : errno;
    share(false);
    if (error != 0) {
      std::string port = "port " + std::to_string(publication_->mapping.host_port);
      throw ErrnoError(error, "listen", port);
    }
  }
  if (!front_) front_ = std::make_unique<Door>(*this, reservation_.get());
}

void TcpPort::open_inside(const Service& service) {
  Address wanted = is_unspecified(service.inside) ? Address{} : service.inside;
  auto name = std::pair{service.domain, wanted};
  if (inside_.contains(name)) return;
  UniqueFd fd = source().open(service.domain, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP);
  switch_on(fd.get(), SOL_SOCKET, SO_REUSEADDR);
  int only = service.v6_only ? 1 : 0;
  if (service.domain == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
  }
  std::uint16_t port = publication_->mapping.container_port;
  SocketName at = is_unspecified(service.inside)
                      ? SocketName::any(service.domain, port)
                      : SocketName::of(service.domain, service.inside, port);
  if (::bind(fd.get(), at.get(), at.length) != 0) throw_errno("bind", "in the container");
  if (::listen(fd.get(), kBacklog) != 0) throw_errno("listen", "in the container");
  inside_.emplace(name, InsideDoor{service, std::make_unique<Door>(*this, std::move(fd))});
  shared_.neighbours.opened(publication_, service);
}

void TcpPort::close_inside(const Service& service) {
  std::size_t before = inside_.size();
  for (auto at = inside_.begin(); at != inside_.end();) {
    const Service& other = at->second.service;
    bool same =
        (service.takes(true) && other.takes(true)) || (service.takes(false) && other.takes(false));
    if (!same) {
      ++at;
      continue;
    }
    at->second.door->close();
    // Buried, since it may be what is being served.
    shared_.reactor.bury(std::move(at->second.door));
    at = inside_.erase(at);
  }
  if (inside_.size() != before) reopen_for_neighbours();
}

void TcpPort::reopen_for_neighbours() {
  shared_.neighbours.closed(publication_->id);
  for (const auto& [name, inside] : inside_) {
    shared_.neighbours.opened(publication_, inside.service);
  }
}

void TcpPort::moved() {
  outlet_.reset();
  reopen_for_neighbours();
}

void TcpPort::close_doors() {
  served_ = {};
  close_inside({view_, AF_INET6, false, {}});
  if (front_) front_->close();
  if (front_) shared_.reactor.bury(std::move(front_));
  ::shutdown(reservation_.get(), SHUT_RDWR);  // ends listening; it stays bound
}

void TcpPort::service_gone(std::uint64_t generation) {
  if (publication_->listen_unseen) return;
  bool any_left = false;
  outlet_.reset();
  for (auto& served : served_) {
    if (served && served->generation == generation) {
      if (served->direct && device_of(served->service)) continue;
      Service gone = served->service;
      served.reset();
      close_inside(gone);
    }
  }
  for (const auto& served : served_) any_left = any_left || served.has_value();
  if (!any_left && front_) close_doors();
}

std::optional<int> TcpPort::device_of(const Service& service) const {
  try {
    const auto holders = find_port_holders(IPPROTO_TCP, publication_->mapping.host_port);
    for (const PortHolder& holder : holders) {
      if (holder.device != 0 && holder.domain == service.domain) return holder.device;
    }
  } catch (const ErrnoError&) {  // NOLINT(bugprone-empty-catch): as one that is not there
  }
  return {};
}

std::optional<Outlet> TcpPort::outlet_of(const Service& service) const {
  const Mapping& mapping = publication_->mapping;
  // One that is not seen to listen may not do so yet.
  auto device = device_of(service);
  return device ? outlet_on(*device, mapping, service.domain, service.v6_only)
                : find_outlet(mapping, service.domain, service.v6_only, own_default_routes());
}

bool TcpPort::answer(int client) { return shared_.neighbours.answer(publication_->id, client); }

std::vector<TcpPort::Target> TcpPort::targets_for(const Door& door, int client) const {
  auto peer = peer_endpoint(client);
  bool v4 = peer && peer->first.is_v4();
  std::vector<Target> found;
  for (const auto& served : {served_[v4 ? 0 : 1], served_[v4 ? 1 : 0]}) {
    // An inside door stands for a service that has no socket in the container.
    if (!served || (door.is_inside() && !served->direct)) continue;
    if (found.empty() || found.front().generation != served->generation) found.push_back(*served);
  }
  return found;
}

void TcpPort::take(const Door& door, UniqueFd client) {
  // So that it will not hold the port when its last packets are on their way (see reserve()).
  switch_on(client.get(), SOL_SOCKET, SO_REUSEADDR);
  auto peer = peer_endpoint(client.get());
  auto own = peer ? outgoing_.find(*peer) : outgoing_.end();
  if (own != outgoing_.end() && !door.is_inside()) {
    reset_on_close(client.get());
    return service_gone(own->second);
  }
  switch_on(client.get(), IPPROTO_TCP, TCP_NODELAY);
  const auto name = name_of(door, client.get());
  for (const Target& target : targets_for(door, client.get())) {
    try {
      UniqueFd service = connect(target, door, client.get(), name);
      if (!service) {
        if (errno == ECONNREFUSED) service_gone(target.generation);
        continue;
      }
      switch_on(service.get(), IPPROTO_TCP, TCP_NODELAY);
      auto connection =
          std::make_unique<Connection>(*this, target, std::move(client), std::move(service));
      auto* key = connection.get();
      connections_.emplace(key, std::move(connection));
      ++shared_.connections;
      return;
    } catch (const ErrnoError&) {  // NOLINT(bugprone-empty-catch): said by the reset
      if (!client) return;
    }
  }
  reset_on_close(client.get());
}

std::optional<Endpoint> TcpPort::name_of(const Door& door, int client) const {
  if (!door.is_inside() || publication_->host_names) return {};
  return peer_endpoint(client);
}

UniqueFd TcpPort::connect(const Target& target, const Door& door, int client,
                          const std::optional<Endpoint>& name) {
  if (!target.direct) return connect_inside(target.service);
  if (!outlet_) outlet_ = outlet_of(target.service);
  const bool at_home = outlet_ && outlet_->device == abi::kLoopbackDevice;
  if (!at_home) return connect_direct(target.service, name);
  // Who comes that way looks like a client on loopback, and services trust those.
  if (door.is_inside() && is_of_container(client)) return connect_home(name);
  errno = EADDRNOTAVAIL;
  return {};
}

UniqueFd TcpPort::connect_home(const std::optional<Endpoint>& name) {
  constexpr std::uint32_t kFirst = 0x7F000002;  // 127.0.0.2
  constexpr std::uint32_t kAddresses = 0xFFFFF0;
  const std::uint16_t port = publication_->mapping.host_port;
  const SocketName to = SocketName::of(AF_INET, outlet_->address, port);
  for (int attempt = 0; attempt < kHomeAttempts; ++attempt) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) throw_errno("socket");
    switch_on(fd.get(), SOL_SOCKET, SO_REUSEPORT);
    switch_on(fd.get(), SOL_SOCKET, SO_REUSEADDR);
    if (name) shared_.names.maps().show(fd.get(), *name);
    const in_addr own{htonl(kFirst + next_home_++ % kAddresses)};
    const SocketName from = SocketName::of(AF_INET, Address::from_v4(own), port);
    share(true);
    const bool bound = ::bind(fd.get(), from.get(), from.length) == 0;
    share(false);
    if (!bound) continue;
    const int error = start_connect(fd.get(), to);
    if (error == 0 || error == EINPROGRESS) return fd;
    errno = error;
    if (error == ECONNREFUSED) break;
  }
  return {};
}

UniqueFd TcpPort::connect_direct(const Service& target, const std::optional<Endpoint>& client) {
  const Mapping& mapping = publication_->mapping;
  for (bool fresh : {false, true}) {
    if (fresh || !outlet_) outlet_ = outlet_of(target);
    if (!outlet_) {
      errno = EADDRNOTAVAIL;
      break;
    }
    int domain = outlet_->address.is_v4() ? AF_INET : AF_INET6;
    UniqueFd fd(::socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) throw_errno("socket");
    switch_on(fd.get(), IPPROTO_IP, abi::kIpBindAddressNoPort);
    if (client) shared_.names.maps().show(fd.get(), *client);
    SocketName own = SocketName::of(domain, outlet_->address, 0);
    if (::bind(fd.get(), own.get(), own.length) != 0) continue;
    int error =
        start_connect(fd.get(), SocketName::of(domain, outlet_->address, mapping.host_port));
    if (error == 0 || error == EINPROGRESS) return fd;
    errno = error;
    if (error == ECONNREFUSED) break;
  }
  return {};
}

std::optional<Address> TcpPort::address_inside(const Service& service) {
  if (!is_unspecified(service.inside)) {
    return may_be_seen(service.inside) ? std::optional(service.inside) : std::nullopt;
  }
  std::optional<Address> found;
  if (service.takes(true)) found = addresses_.find(source(), *view_, AF_INET);
  if (!found && service.takes(false)) found = addresses_.find(source(), *view_, AF_INET6);
  return found;
}

UniqueFd TcpPort::connect_inside(const Service& service) {
  auto to = address_inside(service);
  if (!to) {
    errno = EADDRNOTAVAIL;
    return {};
  }
  int domain = to->is_v4() ? AF_INET : AF_INET6;
  UniqueFd fd = source().open(domain, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP);
  std::uint16_t port = publication_->mapping.container_port;
  int error = start_connect(fd.get(), SocketName::of(domain, *to, port));
  auto own = own_endpoint(fd.get());
  // Routes can give a connection any address of the container for its source.
  if (own && !may_be_seen(own->first)) error = EADDRNOTAVAIL;
  if (error == 0 || error == EINPROGRESS) return fd;
  errno = error;
  return {};
}

SocketSource& TcpPort::source() {
  if (!source_) source_ = view_->start_source();
  return *source_;
}

void TcpPort::end(Connection& connection) {
  auto found = connections_.find(&connection);
  if (found == connections_.end()) return;
  connection.close();
  shared_.reactor.bury(std::move(found->second));
  connections_.erase(found);
  --shared_.connections;
}

}  // namespace sockswitch
