#include "tunnel/inbound.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/errno_error.h"

namespace sockswitch::tunnel {
namespace {

constexpr std::size_t kArena = std::size_t{512} * 1024;

// A sender proves its way every few seconds. Each proof costs the control thread some work.
constexpr int kMaxProbes = 16;
constexpr std::chrono::seconds kWindow{10};

bool too_many_probes(InboundConnection& connection) {
  const auto now = std::chrono::steady_clock::now();
  if (now - connection.window > kWindow) {
    connection.window = now;
    connection.probes = 0;
  }
  return ++connection.probes > kMaxProbes;
}

}  // namespace

Inbound::Inbound(const Tap& tap, Handlers handlers)
    : tap_(tap),
      handlers_(std::move(handlers)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      arena_(kArena) {
  if (!epoll_) throw_errno("epoll_create1");
  if (!wake_) throw_errno("eventfd");
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) throw_errno("epoll_ctl");
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "ssw-tunnel-in");
}

Inbound::~Inbound() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
}

void Inbound::add(std::shared_ptr<InboundConnection> connection) {
  post({true, std::move(connection)});
}
void Inbound::remove(std::shared_ptr<InboundConnection> connection) {
  post({false, std::move(connection)});
}

void Inbound::post(Order order) {
  {
    std::lock_guard lock(mutex_);
    orders_.push_back(std::move(order));
  }
  ::eventfd_write(wake_.get(), 1);
}

void Inbound::run() {
  std::array<epoll_event, 32> events{};
  for (;;) {
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    if (count < 0 && errno != EINTR) return;
    bool orders = false;
    for (int i = 0; i < count; ++i) {
      void* what = events[static_cast<std::size_t>(i)].data.ptr;
      if (what == nullptr) {
        orders = true;
        continue;
      }
      // One may end another's turn only by an order, which comes after.
      receive(*static_cast<InboundConnection*>(what));
    }
    if (!orders) continue;
    take_orders();
    std::lock_guard lock(mutex_);
    if (stopping_) return;
  }
}

void Inbound::take_orders() {
  eventfd_t count = 0;
  ::eventfd_read(wake_.get(), &count);
  std::vector<Order> orders;
  {
    std::lock_guard lock(mutex_);
    orders.swap(orders_);
  }
  for (Order& order : orders) {
    InboundConnection* connection = order.connection.get();
    if (!order.add) {
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection->socket->get(), nullptr);
      connections_.erase(connection);
      continue;
    }
    connections_[connection] = order.connection;
    epoll_event event{.events = EPOLLIN | EPOLLRDHUP, .data = {.ptr = connection}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection->socket->get(), &event) != 0) {
      end(*connection, std::string("epoll_ctl: ") + ::strerror(errno));
    }
  }
}

void Inbound::receive(InboundConnection& connection) {
  const std::size_t before = connection.rest.size();
  if (before > 0) std::memcpy(arena_.data(), connection.rest.data(), before);
  const ssize_t got = ::recv(connection.socket->get(), arena_.data() + before,
                             arena_.size() - before, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) return end(connection, std::string("recv: ") + ::strerror(errno));
  if (got == 0) return end(connection, "the peer has closed the connection");
  const Bytes all(arena_.data(), before + static_cast<std::size_t>(got));
  const auto taken = take_messages(connection, all);
  if (!taken) return end(connection, "the peer does not keep to the wire format");
  const Bytes rest = all.subspan(*taken);
  connection.rest.assign(rest.begin(), rest.end());
}

std::optional<std::size_t> Inbound::take_messages(InboundConnection& connection, Bytes bytes) {
  std::size_t at = 0;
  while (bytes.size() - at >= kHeaderSize) {
    const auto header = read_header(bytes.subspan(at, kHeaderSize));
    if (!header) return {};
    if (bytes.size() - at - kHeaderSize < header->size) break;
    const Bytes body = bytes.subspan(at + kHeaderSize, header->size);
    if (header->type == MessageType::kPayload) {
      deliver(connection, *header, body);
    } else if (header->type == MessageType::kProbe) {
      if (too_many_probes(connection)) return {};
      handlers_.probe(connections_[&connection], *read_nonce(body));
    } else {
      return {};
    }
    at += kHeaderSize + header->size;
  }
  return at;
}

void Inbound::deliver(InboundConnection& connection, const MessageHeader& header, Bytes payload) {
  auto head = build_head(tap_.format(), connection.flow, tap_.address(), header);
  if (!head) return connection.counters->drop();
  // writev(2) only reads what it is given.
  const iovec parts[] = {{head->bytes.data(), head->size},
                         {const_cast<std::uint8_t*>(payload.data()), payload.size()}};
  ssize_t done = 0;
  do {
    done = ::writev(tap_.fd(), parts, 2);
  } while (done < 0 && errno == EINTR);
  if (done < 0) return connection.counters->drop();
  connection.counters->count(payload.size());
}

void Inbound::end(InboundConnection& connection, std::string reason) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.socket->get(), nullptr);
  auto found = connections_.find(&connection);
  if (found == connections_.end()) return;
  const std::shared_ptr<InboundConnection> held = found->second;
  connections_.erase(found);
  handlers_.ended(held, std::move(reason));
}

}  // namespace sockswitch::tunnel
