// Theory of operation.
//
// A UDP socket of the host is never given to a container: it could send to the host's loopback past
// any pin (docs/threat-model.md). So the service keeps its own socket, and the reservation receives
// for it. Each client has a session: a socket in the container's network namespace, connected to
// the service, by whose port the service tells clients apart. Answers go out of the reservation,
// from the address that the client had sent to.
//
//   attach    the container's network is known; what came before waits in the reservation's queue
//   session   from a client's first datagram until it has been idle for kIdle. When there are
//             kMaxSessions, the one that has been idle longest ends.
//
// A session costs a question to the helper in the container's namespace, which the relay's thread
// waits for, and whoever spoofs addresses can ask for as many as it sends datagrams. So new ones
// are few a second (Allowance); what comes beyond is lost and counted, as are datagrams to a
// container that has no address but loopback's, which no client is ever shown as.
//
// A service that is not there refuses the session's datagrams (ICMP inside the container), which
// clients do not learn; a later datagram of the same session reaches a later service.
//
// Lost are, in Publication::lost: datagrams without a session; those that the service refuses (at
// least: the kernel reports several refusals as one); those that cannot be sent, either way; and
// those that the kernel drops because the reservation's queue is full (SO_MEMINFO, Linux 4.12),
// which are added once a tick.
#include "publish/udp_port.h"

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/errno_error.h"
#include "kernel/endpoint.h"

namespace sockswitch {
namespace {

constexpr std::chrono::seconds kIdle{90};
constexpr std::size_t kMaxSessions = 4096;
// New sessions: some 50 us of the relay's thread each, so these are a tenth of its time.
constexpr unsigned kNewAtOnce = 4096;
constexpr unsigned kNewPerSecond = 2000;
constexpr int kDatagramsAtOnce = 64;
constexpr std::size_t kLargestDatagram = 65536;

// The thread's own: a datagram is passed on before the next one is read.
std::array<char, kLargestDatagram>& datagram_buffer() {
  thread_local std::array<char, kLargestDatagram> buffer;
  return buffer;
}

// Of all that arrived at a socket; 0 where the kernel does not say. Wraps.
std::uint32_t dropped_by_kernel(int fd) {
  std::array<std::uint32_t, SK_MEMINFO_VARS> info{};
  socklen_t length = sizeof info;
  if (::getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info.data(), &length) != 0) return 0;
  return info[SK_MEMINFO_DROPS];
}

union Control {
  cmsghdr alignment;
  std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))> bytes;
};

}  // namespace

// Where a datagram came from, and to which address of the host.
struct UdpPort::Client {
  sockaddr_storage raw{};
  socklen_t length = 0;
  in6_pktinfo local{};  // of an IPv6 reservation, which takes IPv4, too
  bool has_local = false;

  Key key() const {
    auto name = destination_of(raw, length).value_or(Destination{});
    return {{name.address, name.port}, Address::from_v6(local.ipi6_addr)};
  }

  // Bytes received, or -1 with errno.
  ssize_t receive(int fd, char* buffer, std::size_t size) {
    iovec part{buffer, size};
    Control control{};
    msghdr header{};
    header.msg_name = &raw;
    header.msg_namelen = sizeof raw;
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.bytes.data();
    header.msg_controllen = control.bytes.size();
    ssize_t got = ::recvmsg(fd, &header, 0);
    length = header.msg_namelen;
    const cmsghdr* item = CMSG_FIRSTHDR(&header);
    has_local =
        got >= 0 && item && item->cmsg_level == IPPROTO_IPV6 && item->cmsg_type == IPV6_PKTINFO;
    if (has_local) std::memcpy(&local, CMSG_DATA(item), sizeof local);
    local.ipi6_ifindex = 0;  // the way back is the routing table's matter
    return got;
  }

  // False: it was lost.
  bool answer(int fd, char* bytes, std::size_t size) const {
    iovec part{bytes, size};
    Control control{};
    msghdr header{};
    header.msg_name = const_cast<sockaddr_storage*>(&raw);
    header.msg_namelen = length;
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (has_local) {
      header.msg_control = control.bytes.data();
      header.msg_controllen = control.bytes.size();
      cmsghdr* item = CMSG_FIRSTHDR(&header);
      item->cmsg_level = IPPROTO_IPV6;
      item->cmsg_type = IPV6_PKTINFO;
      item->cmsg_len = CMSG_LEN(sizeof local);
      std::memcpy(CMSG_DATA(item), &local, sizeof local);
    }
    return ::sendmsg(fd, &header, MSG_DONTWAIT) >= 0;
  }
};

class UdpPort::Session : public Reactor::Watched {
 public:
  Session(UdpPort& port, const Client& client, UniqueFd fd)
      : reactor_(port.reactor_),
        publication_(*port.publication_),
        reservation_(port.reservation_.get()),
        client_(client),
        fd_(std::move(fd)),
        key_(reactor_.watch(*this, {fd_.get()}, EPOLLIN)) {}
  ~Session() override { reactor_.unwatch(key_, {fd_.get()}); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Clock::time_point last_used() const { return last_used_; }

  void send(const char* bytes, std::size_t size) {
    last_used_ = Clock::now();
    if (::send(fd_.get(), bytes, size, MSG_DONTWAIT) >= 0) return;
    ++publication_.lost;
    // An earlier one was refused, and this one was not tried.
    if (errno == ECONNREFUSED && ::send(fd_.get(), bytes, size, MSG_DONTWAIT) < 0)
      ++publication_.lost;
  }

  // Datagrams of the service.
  void ready() override {
    auto& buffer = datagram_buffer();
    for (int i = 0; i < kDatagramsAtOnce; ++i) {
      ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got < 0 && errno == ECONNREFUSED) {
        ++publication_.lost;
        continue;
      }
      if (got < 0) return;
      last_used_ = Clock::now();
      if (!client_.answer(reservation_, buffer.data(), static_cast<std::size_t>(got)))
        ++publication_.lost;
    }
  }

 private:
  Reactor& reactor_;
  Publication& publication_;
  int reservation_;
  Client client_;
  UniqueFd fd_;
  Clock::time_point last_used_ = Clock::now();
  std::uint64_t key_;
};

UdpPort::UdpPort(Reactor& reactor, std::shared_ptr<Publication> publication, UniqueFd reservation)
    : reactor_(reactor),
      publication_(std::move(publication)),
      reservation_(std::move(reservation)),
      new_sessions_(kNewAtOnce, kNewPerSecond),
      drops_(dropped_by_kernel(reservation_.get())) {  // an earlier daemon's, where it was adopted
  int on = 1;
  ::setsockopt(reservation_.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
}

UdpPort::~UdpPort() {
  if (key_ != 0) reactor_.unwatch(key_, {reservation_.get()});
}

void UdpPort::attach(const std::shared_ptr<NetworkView>& view) {
  if (view_) return;
  view_ = view;
  key_ = reactor_.watch(*this, {reservation_.get()}, EPOLLIN);
}

void UdpPort::ready() {
  auto& buffer = datagram_buffer();
  for (int i = 0; i < kDatagramsAtOnce; ++i) {
    Client client;
    ssize_t got = client.receive(reservation_.get(), buffer.data(), buffer.size());
    if (got < 0) return;
    Session* found = nullptr;
    try {
      found = session(client);
    } catch (const ErrnoError&) {  // NOLINT(bugprone-empty-catch): counted
    }
    if (found) {
      found->send(buffer.data(), static_cast<std::size_t>(got));
    } else {
      ++publication_->lost;
    }
  }
}

UdpPort::Session* UdpPort::session(const Client& client) {
  auto found = sessions_.find(client.key());
  if (found != sessions_.end()) return found->second.get();
  if (!new_sessions_.take()) return nullptr;
  auto service = addresses_.find(source(), *view_, AF_INET);
  if (!service) service = addresses_.find(source(), *view_, AF_INET6);
  if (!service) return nullptr;
  int domain = service->is_v4() ? AF_INET : AF_INET6;
  UniqueFd fd = source().open(domain, SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_UDP);
  SocketName to = SocketName::of(domain, *service, publication_->mapping.container_port);
  if (::connect(fd.get(), to.get(), to.length) != 0) return nullptr;
  auto own = own_endpoint(fd.get());
  if (!own || !may_be_seen(own->first)) return nullptr;
  make_room();
  auto made = std::make_unique<Session>(*this, client, std::move(fd));
  return sessions_.emplace(client.key(), std::move(made)).first->second.get();
}

void UdpPort::make_room() {
  if (sessions_.size() < kMaxSessions) return;
  sessions_.erase(std::ranges::min_element(
      sessions_, {}, [](const auto& entry) { return entry.second->last_used(); }));
}

void UdpPort::expire() {
  const std::uint32_t drops = dropped_by_kernel(reservation_.get());
  publication_->lost += static_cast<std::uint32_t>(drops - drops_);
  drops_ = drops;
  auto limit = Clock::now() - kIdle;
  std::erase_if(sessions_, [&](const auto& entry) { return entry.second->last_used() < limit; });
}

SocketSource& UdpPort::source() {
  if (!source_) source_ = view_->start_source();
  return *source_;
}

}  // namespace sockswitch
