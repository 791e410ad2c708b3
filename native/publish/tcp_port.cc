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
// Nothing tells that a service has stopped to listen, since close(2) is not trapped. It is noticed
// at the next connection that is refused, and the port is idle again: that client sees a reset, the
// next ones are refused. In state direct, a connection to a service that is gone arrives at the
// front door, because that is bound to the same port: it is recognized by its other end. A service
// that listens again is a new generation; what is learnt late about an older one does not count.
//
// A connection's own end is bound to the address that it goes to. So if that has ceased to be the
// host's, nothing is sent to whoever has it now.
#include "publish/tcp_port.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

#include "kernel/errno_error.h"
#include "kernel/linux_abi.h"
#include "kernel/sock_diag.h"
#include "kernel/syscalls.h"
#include "publish/inside.h"

namespace sockswitch {
namespace {

constexpr int kBacklog = 4096;  // or net.core.somaxconn, if that is less
constexpr int kAcceptedAtOnce = 64;
// One container must not take all of the relay.
constexpr std::size_t kMaxOfPort = 2048;

bool is_listening(int fd) { return int_option(fd, SOL_SOCKET, SO_ACCEPTCONN).value_or(0) != 0; }

void switch_on(int fd, int level, int name) {
  int on = 1;
  ::setsockopt(fd, level, name, &on, sizeof on);
}

}  // namespace

class TcpPort::Door : public Reactor::Watched {
 public:
  Door(TcpPort& port, int fd, Target target)
      : port_(port), fd_(fd), target_(target), key_(port.reactor().watch(*this, {fd}, EPOLLIN)) {}
  Door(TcpPort& port, UniqueFd fd, const Target& target) : Door(port, fd.get(), target) {
    owned_ = std::move(fd);
  }
  ~Door() override { close(); }
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;

  void set_target(const Target& target) { target_ = target; }
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
      std::uint64_t generation = port_.generation_;
      port_.take(std::move(client), target_);
      if (generation != port_.generation_) return;  // the doors were closed
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
  Target target_;
  std::uint64_t key_;
  bool paused_ = false;
  bool closed_ = false;
};

class TcpPort::Connection : public Reactor::Watched {
 public:
  Connection(TcpPort& port, UniqueFd client, UniqueFd service)
      : port_(port),
        generation_(port.generation_),
        own_end_(own_endpoint(service.get())),
        stream_(std::move(client), std::move(service), port.shared_.pipes),
        key_(port.reactor().watch(*this, {stream_.client(), stream_.service()},
                                  EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
    if (own_end_) port_.outgoing_.insert(*own_end_);
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
  for (const auto& [name, door] : inside_) door->resume();
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

void TcpPort::serve_direct(const Service& service) {
  view_ = service.view;
  ++generation_;
  outlet_.reset();
  open_reservation({true, service.domain, service.v6_only, {}});
  open_inside(service);
}

void TcpPort::serve_inside(const Service& service) {
  view_ = service.view;
  ++generation_;
  shared_.neighbours.closed(publication_->id);
  inside_.clear();
  open_reservation({false, service.domain, service.v6_only, service.inside});
}

void TcpPort::open_reservation(const Target& target) {
  if (!is_listening(reservation_.get())) {
    share(true);
    int error = ::listen(reservation_.get(), kBacklog) == 0 ? 0 : errno;
    share(false);
    if (error != 0) {
      std::string port = "port " + std::to_string(publication_->mapping.host_port);
      throw ErrnoError(error, "listen", port);
    }
  }
  if (front_) {
    front_->set_target(target);
  } else {
    front_ = std::make_unique<Door>(*this, reservation_.get(), target);
  }
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
  Target target{true, service.domain, service.v6_only, {}};
  inside_.emplace(name, std::make_unique<Door>(*this, std::move(fd), target));
  shared_.neighbours.opened(publication_, service);
}

void TcpPort::close_doors() {
  shared_.neighbours.closed(publication_->id);
  // Buried, since one of them may be what is being served.
  if (front_) front_->close();
  for (auto& [name, door] : inside_) door->close();
  if (front_) shared_.reactor.bury(std::move(front_));
  for (auto& [name, door] : inside_) shared_.reactor.bury(std::move(door));
  inside_.clear();
  ::shutdown(reservation_.get(), SHUT_RDWR);  // ends listening; it stays bound
}

void TcpPort::service_gone(std::uint64_t generation) {
  if (generation != generation_ || publication_->listen_unseen) return;
  ++generation_;
  close_doors();
}

bool TcpPort::answer(int client) { return shared_.neighbours.answer(publication_->id, client); }

void TcpPort::take(UniqueFd client, const Target& target) {
  // So that it will not hold the port when its last packets are on their way (see reserve()).
  switch_on(client.get(), SOL_SOCKET, SO_REUSEADDR);
  auto peer = peer_endpoint(client.get());
  if (target.direct && peer && outgoing_.contains(*peer)) {
    reset_on_close(client.get());
    return service_gone(generation_);
  }
  switch_on(client.get(), IPPROTO_TCP, TCP_NODELAY);
  try {
    UniqueFd service = target.direct ? connect_direct(target) : connect_inside(target);
    if (!service) {
      reset_on_close(client.get());
      if (errno == ECONNREFUSED) service_gone(generation_);
      return;
    }
    switch_on(service.get(), IPPROTO_TCP, TCP_NODELAY);
    auto connection = std::make_unique<Connection>(*this, std::move(client), std::move(service));
    auto* key = connection.get();
    connections_.emplace(key, std::move(connection));
    ++shared_.connections;
  } catch (const ErrnoError&) {
    reset_on_close(client.get());
  }
}

UniqueFd TcpPort::connect_direct(const Target& target) {
  const Mapping& mapping = publication_->mapping;
  for (bool fresh : {false, true}) {
    if (fresh || !outlet_) {
      outlet_ = find_outlet(mapping, target.domain, target.v6_only,
                            own_default_routes());
    }
    if (!outlet_) break;
    int domain = outlet_->address.is_v4() ? AF_INET : AF_INET6;
    UniqueFd fd(::socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) throw_errno("socket");
    switch_on(fd.get(), IPPROTO_IP, abi::kIpBindAddressNoPort);
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

UniqueFd TcpPort::connect_inside(const Target& target) {
  std::uint16_t port = publication_->mapping.container_port;
  bool any = is_unspecified(target.inside);
  int domain = (any ? target.v6_only : !target.inside.is_v4()) ? AF_INET6 : AF_INET;
  Address to = any ? container_address(source(), domain) : target.inside;
  UniqueFd fd = source().open(domain, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP);
  int error = start_connect(fd.get(), SocketName::of(domain, to, port));
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
