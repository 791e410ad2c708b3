#include "publish/reservation.h"

#include <sys/socket.h>

#include <cerrno>

#include "base/errno_error.h"
#include "kernel/interfaces.h"
#include "kernel/netlink.h"

namespace sockswitch {
namespace {

void set_option(int fd, int level, int name, int value, const char* text) {
  if (::setsockopt(fd, level, name, &value, sizeof value) != 0) throw_errno("setsockopt", text);
}

int type_of(const Mapping& mapping) {
  return mapping.protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
}

bool try_bind(const Mapping& mapping, int fd, int domain) {
  SocketName name = service_name(mapping, domain);
  return ::bind(fd, name.get(), name.length) == 0;
}

UniqueFd open_reservation(const Mapping& mapping, int domain) {
  UniqueFd fd(::socket(domain, type_of(mapping) | SOCK_CLOEXEC | SOCK_NONBLOCK, mapping.protocol));
  if (!fd) return fd;
  if (domain == AF_INET6) {
    bool only = mapping.host && !mapping.host->is_v4();
    set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, only ? 1 : 0, "IPV6_V6ONLY");
  }
  return fd;
}

std::optional<Outlet> outlet_of_address(const Address& host) {
  for (const InterfaceAddress& entry : interface_addresses()) {
    if (entry.address == host && !entry.loopback) return Outlet{entry.device, host};
  }
  return {};
}

std::optional<Outlet> outlet_of_route(const std::vector<FoundRoute>& defaults, bool v4) {
  const auto addresses = interface_addresses();
  for (const FoundRoute& route : defaults) {
    if (route.gateway && route.gateway->is_v4() != v4) continue;
    for (const InterfaceAddress& entry : addresses) {
      if (entry.address.is_v4() != v4 || is_link_local(entry.address)) continue;
      if (is_loopback(entry.address)) continue;  // the service would take its clients for its own
      if (entry.device == route.device) return Outlet{entry.device, entry.address};
    }
  }
  return {};
}

}  // namespace

std::vector<FoundRoute> own_default_routes() {
  NetlinkSocket socket(open_route_socket());
  return default_routes(socket);
}

SocketName service_name(const Mapping& mapping, int domain) {
  if (!mapping.host) return SocketName::any(domain, mapping.host_port);
  return SocketName::of(domain, *mapping.host, mapping.host_port);
}

UniqueFd reserve(const Mapping& mapping) {
  int domain = AF_INET6;
  UniqueFd fd = open_reservation(mapping, domain);
  if (!fd && (!mapping.host || mapping.host->is_v4())) {
    domain = AF_INET;
    fd = open_reservation(mapping, domain);
  }
  if (!fd) throw_errno("socket");
  if (!try_bind(mapping, fd.get(), domain)) {
    if (errno != EADDRINUSE || mapping.protocol != IPPROTO_TCP) throw_errno("bind");
    // Connections of an earlier life that wait for their end are in nobody's way.
    set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    if (!try_bind(mapping, fd.get(), domain)) throw_errno("bind");
    set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 0, "SO_REUSEADDR");
  }
  return fd;
}

std::optional<Outlet> find_outlet(const Mapping& mapping, int domain, bool v6_only,
                                  const std::vector<FoundRoute>& default_routes) {
  bool takes_v4 = domain == AF_INET || !v6_only;
  bool takes_v6 = domain == AF_INET6;
  if (mapping.host) {
    takes_v4 = takes_v4 && mapping.host->is_v4();
    takes_v6 = takes_v6 && !mapping.host->is_v4();
    if (!takes_v4 && !takes_v6) return {};
    if (!is_unspecified(*mapping.host)) return outlet_of_address(*mapping.host);
  }
  std::optional<Outlet> found;
  if (takes_v4) found = outlet_of_route(default_routes, true);
  if (!found && takes_v6) found = outlet_of_route(default_routes, false);
  return found;
}

}  // namespace sockswitch
