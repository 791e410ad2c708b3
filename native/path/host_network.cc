#include "path/host_network.h"

#include <linux/rtnetlink.h>
#include <sys/epoll.h>

#include <utility>

#include "base/errno_error.h"
#include "kernel/netlink.h"
#include "kernel/syscalls.h"

namespace sockswitch {

HostNetwork::HostNetwork(Watcher& watcher)
    : watcher_(watcher), routes_(open_route_socket()), monitor_(open_route_monitor()) {
  auto cookie = netns_cookie(monitor_.get());
  if (!cookie) throw_errno("getsockopt", "SO_NETNS_COOKIE (Linux 5.14)");
  cookie_ = *cookie;
  watch_ = watcher_.add(monitor_.get(), EPOLLIN, [this] {
    drain_monitor(monitor_.get());
    generation_.fetch_add(1, std::memory_order_release);
    std::lock_guard lock(changed_mutex_);
    if (changed_) changed_();
    return true;
  });
}

HostNetwork::~HostNetwork() { watcher_.remove(watch_); }

void HostNetwork::on_change(std::function<void()> changed) {
  std::lock_guard lock(changed_mutex_);
  changed_ = std::move(changed);
}

std::optional<FoundRoute> HostNetwork::route(const RoutedPacket& packet) {
  std::lock_guard lock(mutex_);
  return route_of(routes_, packet);
}

std::optional<FoundRoute> HostNetwork::entry(const RoutedPacket& packet) {
  std::lock_guard lock(mutex_);
  return entry_of(routes_, packet);
}

RoutingTables HostNetwork::tables() {
  std::lock_guard lock(mutex_);
  return read_tables(routes_);
}

bool HostNetwork::is_near(const Address& address) {
  std::lock_guard lock(mutex_);
  RoutingTables tables = read_tables(routes_);
  if (!tables.unknown.empty()) return true;
  for (const FoundRoute& route : tables.routes) {
    if (route.prefix_length == 0 && route.gateway == address) return true;
  }
  auto way = route_of(routes_, {.destination = address});
  return way && !way->gateway;
}

bool HostNetwork::is_own(const Address& address) {
  auto way = route({.destination = address});
  return way && way->type == RTN_LOCAL;
}

}  // namespace sockswitch
