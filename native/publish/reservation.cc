#include "publish/reservation.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/errno_error.h"
#include "kernel/interfaces.h"
#include "kernel/linux_abi.h"
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

std::optional<Outlet> outlet_of_device(const std::vector<InterfaceAddress>& addresses, int device,
                                       bool v4) {
  for (const InterfaceAddress& entry : addresses) {
    if (entry.address.is_v4() != v4 || is_link_local(entry.address)) continue;
    if (is_loopback(entry.address)) continue;  // the service would take its clients for its own
    if (entry.device == device) return Outlet{entry.device, entry.address};
  }
  return {};
}

std::optional<Outlet> outlet_of_route(const std::vector<FoundRoute>& defaults, bool v4) {
  const auto addresses = interface_addresses();
  for (const FoundRoute& route : defaults) {
    if (route.gateway && route.gateway->is_v4() != v4) continue;
    if (auto found = outlet_of_device(addresses, route.device, v4)) return found;
  }
  return {};
}

// The families of clients that a socket takes.
struct Families {
  bool v4 = false;
  bool v6 = false;
};

Families families_of(const Mapping& mapping, int domain, bool v6_only) {
  const bool v4 = !mapping.host || mapping.host->is_v4();
  const bool v6 = !mapping.host || !mapping.host->is_v4();
  return {.v4 = v4 && (domain == AF_INET || !v6_only), .v6 = v6 && domain == AF_INET6};
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
  const Families takes = families_of(mapping, domain, v6_only);
  if (!takes.v4 && !takes.v6) return {};
  if (mapping.host && !is_unspecified(*mapping.host)) return outlet_of_address(*mapping.host);
  std::optional<Outlet> found;
  if (takes.v4) found = outlet_of_route(default_routes, true);
  if (!found && takes.v6) found = outlet_of_route(default_routes, false);
  return found;
}

std::optional<BetterDevice> better_device(int device, const Mapping& mapping, int domain,
                                          bool v6_only, bool anywhere,
                                          const std::vector<FoundRoute>& default_routes) {
  const auto addresses = interface_addresses();
  const auto is_up = [&](int wanted) {
    return std::ranges::any_of(
        addresses, [&](const auto& entry) { return entry.device == wanted && entry.up; });
  };
  const auto found = find_outlet(mapping, domain, v6_only, default_routes);
  if (found && is_up(found->device)) {
    if (found->device == device) return {};
    return BetterDevice{.device = found->device};
  }
  // The host itself reaches it by that one address only.
  if (mapping.host && !is_unspecified(*mapping.host)) return {};
  const bool at_home = device == abi::kLoopbackDevice;
  if (!at_home && is_up(device) && outlet_on(device, mapping, domain, v6_only)) return {};
  for (const InterfaceAddress& entry : addresses) {
    const bool elsewhere = entry.up && entry.device != abi::kLoopbackDevice;
    if (elsewhere && outlet_on(entry.device, mapping, domain, v6_only)) {
      return BetterDevice{.device = entry.device, .makeshift = true};
    }
  }
  if (at_home || !anywhere || !outlet_on(abi::kLoopbackDevice, mapping, domain, v6_only)) return {};
  return BetterDevice{.device = abi::kLoopbackDevice, .makeshift = true};
}

std::optional<Outlet> outlet_on(int device, const Mapping& mapping, int domain, bool v6_only) {
  const Families takes = families_of(mapping, domain, v6_only);
  std::optional<Outlet> found;
  if (mapping.host && !is_unspecified(*mapping.host)) {
    found = outlet_of_address(*mapping.host);
    return found && found->device == device ? found : std::nullopt;
  }
  if (device == abi::kLoopbackDevice) {
    // By IPv6 it has one address only, which would be that of both ends.
    if (takes.v4) found = Outlet{device, Address::from_v4(in_addr{htonl(INADDR_LOOPBACK)})};
    return found;
  }
  const auto addresses = interface_addresses();
  if (takes.v4) found = outlet_of_device(addresses, device, true);
  if (!found && takes.v6) found = outlet_of_device(addresses, device, false);
  return found;
}

}  // namespace sockswitch
