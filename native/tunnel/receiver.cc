#include "tunnel/receiver.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/errno_error.h"
#include "base/socket_name.h"
#include "kernel/endpoint.h"

namespace sockswitch::tunnel {
namespace {

using std::chrono::seconds;

constexpr int kBacklog = 64;
constexpr int kAcceptedAtOnce = 16;
constexpr std::size_t kMaxVisitors = 32;
constexpr std::size_t kVisitorsOfOne = 4;  // of one address
constexpr std::size_t kMaxProved = 256;
constexpr std::size_t kProvedOfOne = 8;
constexpr seconds kPatience{6};
constexpr seconds kTakenPause{3};  // to the next attempt to listen on a port that was taken
constexpr seconds kProofLife{15};  // longer than the sender's, which goes first
constexpr int kUserTimeoutMs = 5000;
constexpr int kKeepAliveSeconds = 10;
constexpr std::size_t kMaxHello = 64;

// IPv6 sockets take IPv4 connections as well, except where an address of IPv4 is given.
UniqueFd listen_at(const PublishedPort& port) {
  const bool v4 = port.host && port.host->is_v4();
  int domain = v4 ? AF_INET : AF_INET6;
  UniqueFd fd(::socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd && errno == EAFNOSUPPORT && !port.host) {
    domain = AF_INET;
    fd.reset(::socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }
  if (!fd) throw_errno("socket");
  int on = 1;
  int off = 0;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (domain == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, port.host ? &on : &off, sizeof on);
  }
  const SocketName name = port.host ? SocketName::of(domain, *port.host, port.host_port)
                                    : SocketName::any(domain, port.host_port);
  if (::bind(fd.get(), name.get(), name.length) != 0) throw_errno("bind");
  if (::listen(fd.get(), kBacklog) != 0) throw_errno("listen");
  return fd;
}

void send_all(int fd, const std::vector<std::uint8_t>& message) {
  // Answers are far smaller than any socket's buffer: what does not fit has no reader.
  ::send(fd, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

class Receiver::Door : public Reactor::Watched {
 public:
  Door(Receiver& receiver, const PublishedPort& port)
      : receiver_(receiver), port_(port), fd_(listen_at(port)) {
    key_ = receiver_.place_.reactor().watch(*this, {fd_.get()}, EPOLLIN);
  }
  ~Door() override { receiver_.place_.reactor().unwatch(key_, {fd_.get()}); }
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;

  const PublishedPort& port() const { return port_; }
  void ready() override {
    for (int i = 0; i < kAcceptedAtOnce; ++i) {
      UniqueFd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) return;
      receiver_.accept(*this, std::move(fd));
    }
  }

 private:
  Receiver& receiver_;
  PublishedPort port_;
  UniqueFd fd_;
  std::uint64_t key_ = 0;
};

// A connection that has not been proved.
class Receiver::Visitor : public Reactor::Watched {
 public:
  Visitor(Receiver& receiver, UniqueFd fd, const Address& peer, std::uint16_t container_port)
      : receiver_(receiver),
        fd_(std::make_shared<UniqueFd>(std::move(fd))),
        peer_(peer),
        port_(container_port) {
    key_ = receiver_.place_.reactor().watch(*this, {fd_->get()}, EPOLLIN | EPOLLRDHUP);
  }
  ~Visitor() override { leave_reactor(); }
  Visitor(const Visitor&) = delete;
  Visitor& operator=(const Visitor&) = delete;

  const Address& peer() const { return peer_; }
  std::uint16_t port() const { return port_; }
  Clock::time_point since() const { return since_; }
  const std::optional<Nonce>& nonce() const { return nonce_; }
  const std::shared_ptr<UniqueFd>& socket() const { return fd_; }

  void leave_reactor() {
    if (key_ != 0) receiver_.place_.reactor().unwatch(key_, {fd_->get()});
    key_ = 0;
  }

  void ready() override {
    std::array<std::uint8_t, kMaxHello> buffer{};
    const ssize_t got =
        ::recv(fd_->get(), buffer.data(), buffer.size() - received_.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    // Nothing may come between the hello and the answer to it that says proved.
    if (got <= 0 || nonce_) return receiver_.drop(*this);
    received_.insert(received_.end(), buffer.begin(), buffer.begin() + got);
    if (received_.size() < kHeaderSize) return;
    const auto header = read_header(received_);
    if (!header || header->type != MessageType::kHello) return receiver_.drop(*this);
    const std::size_t whole = kHeaderSize + header->size;
    if (received_.size() < whole) return;
    const auto hello = read_hello(Bytes(received_).subspan(kHeaderSize, header->size));
    if (!hello || received_.size() > whole) return receiver_.drop(*this);
    take(*hello);
  }

 private:
  void take(const Hello& hello) {
    if (hello.version != kVersion) {
      send_all(fd_->get(),
               refused_message("version " + std::to_string(kVersion) + " is spoken here, not " +
                               std::to_string(hello.version)));
      return receiver_.drop(*this);
    }
    if (receiver_.place_.is_own(peer_)) {
      send_all(fd_->get(), refused_message("the peer has an address of this container"));
      return receiver_.drop(*this);
    }
    nonce_ = hello.nonce;
    const std::uint32_t features = receiver_.place_.takes_segments() ? kTakesSegments : 0;
    send_all(fd_->get(), ready_message({kVersion, features}));
  }

  Receiver& receiver_;
  std::shared_ptr<UniqueFd> fd_;
  Address peer_;
  std::uint16_t port_;
  Clock::time_point since_ = Clock::now();
  std::optional<Nonce> nonce_;
  std::vector<std::uint8_t> received_;
  std::uint64_t key_ = 0;
};

Receiver::Receiver(Place& place) : place_(place) {}

Receiver::~Receiver() {
  for (Proved& proved : proved_) place_.inbound().remove(proved.connection);
}

void Receiver::listen_on(const std::vector<PublishedPort>& ports) {
  std::erase_if(doors_, [&](const auto& door) {
    return std::ranges::find(ports, door->port()) == ports.end();
  });
  refused_.clear();
  retry_ = Clock::now() + kTakenPause;
  for (const PublishedPort& port : ports) {
    if (std::ranges::any_of(doors_, [&](const auto& door) { return door->port() == port; })) {
      continue;
    }
    try {
      doors_.push_back(std::make_unique<Door>(*this, port));
    } catch (const ErrnoError& error) {
      refused_.push_back({port, error.what()});
    }
  }
}

void Receiver::accept(const Door& door, UniqueFd fd) {
  const auto peer = peer_endpoint(fd.get());
  if (!peer) return;
  const Address& address = peer->first;
  const auto of_one = std::ranges::count_if(
      visitors_, [&](const auto& visitor) { return visitor->peer() == address; });
  if (static_cast<std::size_t>(of_one) >= kVisitorsOfOne) return;
  if (visitors_.size() >= kMaxVisitors) drop(*visitors_.front());
  visitors_.push_back(
      std::make_unique<Visitor>(*this, std::move(fd), address, door.port().container_port));
}

void Receiver::drop(Visitor& visitor) {
  auto found =
      std::ranges::find_if(visitors_, [&](const auto& other) { return other.get() == &visitor; });
  if (found == visitors_.end()) return;
  visitor.leave_reactor();
  ::shutdown(visitor.socket()->get(), SHUT_RDWR);
  place_.reactor().bury(std::move(*found));
  visitors_.erase(found);
}

bool Receiver::room_for(const Address& peer) {
  const auto of_one = std::ranges::count_if(
      proved_, [&](const Proved& proved) { return proved.connection->flow.source == peer; });
  return proved_.size() < kMaxProved && static_cast<std::size_t>(of_one) < kProvedOfOne;
}

void Receiver::admit(Visitor& visitor, const SeenProbe& probe) {
  const int fd = visitor.socket()->get();
  const bool one_family = visitor.peer().is_v4() == probe.destination.is_v4();
  if (!one_family || !room_for(visitor.peer())) {
    send_all(fd, refused_message(one_family ? "too many connections"
                                            : "the port leads to another family of addresses"));
    return drop(visitor);
  }
  auto connection = std::make_shared<InboundConnection>();
  connection->socket = visitor.socket();
  connection->flow = {visitor.peer(), probe.destination, probe.destination_port};
  connection->counters = std::make_shared<Counters>();
  int user_timeout = kUserTimeoutMs;
  int on = 1;
  int idle = kKeepAliveSeconds;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof user_timeout);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  visitor.leave_reactor();
  proved_.push_back({connection, Clock::now(), std::chrono::system_clock::now(), {}});
  place_.inbound().add(connection);
  send_all(fd, nonce_message(MessageType::kProved, probe.nonce));
  auto found =
      std::ranges::find_if(visitors_, [&](const auto& other) { return other.get() == &visitor; });
  place_.reactor().bury(std::move(*found));
  visitors_.erase(found);
  place_.heard_of(connection->flow.source);
}

void Receiver::seen(const SeenProbe& probe) {
  for (const auto& visitor : visitors_) {
    if (visitor->nonce() != probe.nonce || visitor->port() != probe.destination_port) continue;
    // Somebody else may have heard the nonce, and have said it first.
    if (!place_.may_stand_for(probe.source, probe.destination, visitor->peer())) continue;
    return admit(*visitor, probe);
  }
  for (Proved& proved : proved_) {
    const Flow& flow = proved.connection->flow;
    if (proved.announced != probe.nonce || flow.destination_port != probe.destination_port ||
        flow.destination != probe.destination) {
      continue;
    }
    if (!place_.may_stand_for(probe.source, probe.destination, flow.source)) continue;
    proved.announced.reset();
    proved.last = Clock::now();
    send_all(proved.connection->socket->get(), nonce_message(MessageType::kProved, probe.nonce));
    return;
  }
}

void Receiver::probe_announced(const std::shared_ptr<InboundConnection>& connection,
                               const Nonce& nonce) {
  for (Proved& proved : proved_) {
    if (proved.connection == connection) proved.announced = nonce;
  }
}

void Receiver::ended(const std::shared_ptr<InboundConnection>& connection,
                     const std::string& /*reason*/) {
  std::erase_if(proved_, [&](const Proved& proved) { return proved.connection == connection; });
  ::shutdown(connection->socket->get(), SHUT_RDWR);
}

void Receiver::tick() {
  const auto now = Clock::now();
  while (!visitors_.empty() && now - visitors_.front()->since() > kPatience) {
    drop(*visitors_.front());
  }
  if (!refused_.empty() && now >= retry_) {
    std::vector<PublishedPort> all;
    for (const Listening& one : listening()) all.push_back(one.port);
    listen_on(all);
  }
  std::erase_if(proved_, [&](const Proved& proved) {
    if (now - proved.last <= kProofLife) return false;
    ::shutdown(proved.connection->socket->get(), SHUT_RDWR);
    place_.inbound().remove(proved.connection);
    return true;
  });
}

std::vector<Receiver::Listening> Receiver::listening() const {
  std::vector<Listening> all = refused_;
  for (const auto& door : doors_) all.push_back({door->port(), ""});
  return all;
}

std::vector<Receiver::Source> Receiver::sources() const {
  std::vector<Source> all;
  for (const Proved& proved : proved_) {
    const InboundConnection& connection = *proved.connection;
    all.push_back({connection.flow.source, connection.flow.destination_port, proved.since,
                   connection.counters});
  }
  return all;
}

}  // namespace sockswitch::tunnel
