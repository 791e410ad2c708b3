// A service's socket of the host is made, pinned and bound by this thread, on its own copies, as
// every other one. What it asked to be bound to in the container is not told to the kernel, so it
// is kept in the listener's record (BoundInside): for listen(2), and for getsockname(2) as long as
// the socket is there.
//
// All sockets on a published port have SO_REUSEPORT, so the kernel would let a second service join
// a first one that did not ask for it: the daemon looks for it, and says EADDRINUSE.
#include "notify/published.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/errno_error.h"
#include "kernel/linux_abi.h"
#include "kernel/sock_diag.h"
#include "kernel/syscalls.h"
#include "notify/replace.h"
#include "publish/relay.h"

namespace sockswitch {
namespace {

std::optional<Destination> local_name(int fd) {
  sockaddr_storage raw{};
  socklen_t length = sizeof raw;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&raw), &length) != 0) return {};
  return destination_of(raw, length);
}

bool is_v6_only(int fd, int domain) {
  return domain == AF_INET6 && int_option(fd, IPPROTO_IPV6, IPV6_V6ONLY).value_or(0) != 0;
}

bool is_stream(int protocol) { return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP; }

std::shared_ptr<Publication> find_port(const Policy& policy, int protocol, std::uint16_t port) {
  for (const auto& publication : policy.published) {
    const Mapping& mapping = publication->mapping;
    if (mapping.container_port == port && mapping.protocol == protocol) return publication;
  }
  return nullptr;
}

// Null if no socket of the host with this name is one of a published port.
const Publication* port_of_name(const Policy& policy, const Endpoint& local) {
  const auto& [address, port] = local;
  for (const auto& publication : policy.published) {
    const Mapping& mapping = publication->mapping;
    if (mapping.protocol != IPPROTO_TCP || mapping.host_port != port) continue;
    const bool same = !mapping.host || *mapping.host == address ||
                      (is_unspecified(*mapping.host) && mapping.host->is_v4() == address.is_v4());
    if (same) return publication.get();
  }
  return nullptr;
}

// A socket of the service that listens already and does not share.
bool is_taken(const Publication& port, int domain, bool v6_only, bool wants_to_share) {
  if (wants_to_share && port.shared) return false;
  for (const PortHolder& holder : find_port_holders(IPPROTO_TCP, port.mapping.host_port)) {
    if (holder.device == 0) continue;
    bool apart = holder.domain != domain && (v6_only || holder.v6_only);
    if (!apart) return true;
  }
  return false;
}

void set_int(int fd, int name, int value, const char* text) {
  if (::setsockopt(fd, SOL_SOCKET, name, &value, sizeof value) != 0) {
    throw_errno("setsockopt", text);
  }
}

// Pinned before it is bound, so that there never is one that is not. Empty, and why, if it cannot
// be made.
UniqueFd make_socket(Context& context, const Target& target, const Outlet& outlet,
                     Publication& port) {
  const OptionBaseline* baseline = context.container.fresh.of(target.identity.domain);
  if (!baseline) {
    context.detail = "no fresh socket to compare options with";
    return {};
  }
  UniqueFd fd(::socket(target.identity.domain, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd) throw_errno("socket");
  // An IPv6 socket of a container with net.ipv6.bindv6only=1 leaves IPv4 to another one.
  if (const OptionBaseline* host = context.host.fresh.of(target.identity.domain)) {
    apply_namespace_defaults(fd.get(), *baseline, *host);
  }
  context.detail = OptionCopy(target.socket.get(), *baseline).all(fd.get());
  if (!context.detail.empty()) return {};
  set_int(fd.get(), abi::kSoBindToIfindex, outlet.device, "SO_BINDTOIFINDEX");
  const std::uint16_t host_port = port.mapping.host_port;
  int error = context.guard.guard_service(fd.get(), host_port, true);
  if (error == 0 && context.guard.available()) port.anywhere.add(inode_of(fd.get()).value_or(0));
  // sockswitch-guard is of an earlier version.
  if (error == EINVAL) error = context.guard.guard_service(fd.get(), host_port, false);
  if (error != 0) {
    context.detail = std::string("the guard of its socket: ") + ::strerror(error);
    return {};
  }
  set_int(fd.get(), SO_REUSEPORT, 1, "SO_REUSEPORT");
  // Connections of an earlier service that wait for their end must not keep a later one, nor the
  // next reservation, from the port.
  set_int(fd.get(), SO_REUSEADDR, 1, "SO_REUSEADDR");
  return fd;
}

Service service_of(const Context& context, int socket, int domain, const Address& inside) {
  return {context.container.view, domain, is_v6_only(socket, domain), inside};
}

}  // namespace

std::optional<PublishedBind> published_bind(Context& context, const Target& target,
                                            const Destination& to) {
  if (context.policy.published.empty() || !context.container.view || to.port == 0) return {};
  if (target.identity.netns != context.container.view->cookie()) return {};
  int protocol = is_stream(target.identity.protocol) ? IPPROTO_TCP : target.identity.protocol;
  auto port = find_port(context.policy, protocol, to.port);
  if (!port) {
    int other = protocol == IPPROTO_TCP ? IPPROTO_UDP : IPPROTO_TCP;
    if (!find_port(context.policy, other, to.port)) return {};
    context.detail = "port " + std::to_string(to.port);
    return PublishedBind{nullptr, Outcome::kPublishedOther};
  }
  if (is_loopback(to.address)) return {};
  if (protocol != IPPROTO_TCP) return PublishedBind{port, Outcome::kPublishedRelayed};
  if (!is_unspecified(to.address) && !context.container.view->is_own(to.address)) {
    return {};  // the kernel's to refuse
  }
  // Its clients are relayed where the container is to have no socket of the host.
  bool direct = context.container.view->may_switch(context.policy.permissions, &context.detail);
  return PublishedBind{port, direct ? Outcome::kPublished : Outcome::kPublishedRelayed};
}

std::optional<Outcome> bind_published(Context& context, Target& target, const Destination& to,
                                      Publication& port) {
  int domain = target.identity.domain;
  int model = target.socket.get();
  bool v6_only = is_v6_only(model, domain);
  auto outlet = find_outlet(port.mapping, domain, v6_only, own_default_routes());
  if (!outlet) {
    context.detail =
        "port " + std::to_string(to.port) + ": published on loopback or another family";
    return {};
  }
  auto flags = target.caller.flags(target.number);
  if (!flags) return answer(context, target.id, EBADF);
  Registrations registrations =
      find_registrations(context, target.caller, model, target.number, flags->inode);
  if (!registrations.complete()) {
    context.detail = "its epoll registration could not be carried over";
    return {};
  }
  bool shares = int_option(model, SOL_SOCKET, SO_REUSEPORT).value_or(0) != 0;
  if (is_taken(port, domain, v6_only, shares)) return answer(context, target.id, EADDRINUSE);
  UniqueFd fd = make_socket(context, target, *outlet, port);
  if (!fd) return {};
  SocketName name = service_name(port.mapping, domain);
  Sharing sharing(context.host.relay, port.id);
  if (::bind(fd.get(), name.get(), name.length) != 0) {
    if (errno == EADDRINUSE) return answer(context, target.id, EADDRINUSE);
    throw_errno("bind", "to the published port");
  }
  if (flags->non_blocking) ::fcntl(fd.get(), F_SETFL, O_RDWR | O_NONBLOCK);
  std::uint64_t cookie = socket_cookie(fd.get());
  switch (replace_descriptor(
      context, {target.id, model, fd.get(), target.number, flags->close_on_exec}, registrations)) {
    case Replaced::kYes:
      break;
    case Replaced::kNotAdded:
    case Replaced::kNotComplete:
    case Replaced::kNotInEpoll:
      return {};
    case Replaced::kCallerGone:
      return Outcome::kCallerGone;
  }
  port.shared = shares;
  context.bound.remember(cookie, to.port, domain, to.address);
  if (context.policy.listen_unseen) {
    auto known = find_port(context.policy, IPPROTO_TCP, to.port);
    published_listen(context, fd.get(), target.identity, known);
  }
  if (!context.notify.answer(target.id, 0)) context.interrupted.keep_result(cookie, 0);
  return Outcome::kPublished;
}

int listen_published(const Context& context, int socket, int backlog, const Publication& port) {
  Sharing sharing(context.host.relay, port.id);
  return ::listen(socket, backlog) == 0 ? 0 : errno;
}

std::shared_ptr<Publication> published_port(const Context& context, const Target& target) {
  if (target.identity.protocol != IPPROTO_TCP || !target.of_host(context)) return nullptr;
  if (context.policy.published.empty()) return nullptr;
  auto name = local_name(target.socket.get());
  if (!name || name->port == 0) return nullptr;
  for (const auto& publication : context.policy.published) {
    const Mapping& mapping = publication->mapping;
    if (mapping.protocol != IPPROTO_TCP || mapping.host_port != name->port) continue;
    bool same = mapping.host ? *mapping.host == name->address : is_unspecified(name->address);
    if (same) return publication;
  }
  return nullptr;
}

const Publication* served_port(const Context& context, int socket, const Endpoint& local) {
  const Publication* port = port_of_name(context.policy, local);
  if (!port || !context.container.view) return nullptr;
  if (netns_cookie(socket) != context.host.network.cookie()) return nullptr;
  return is_handed_in(socket) ? nullptr : port;  // ours are TCP sockets
}

Outcome published_listen(Context& context, int socket, const SocketIdentity& identity,
                         const std::shared_ptr<Publication>& port) {
  if (context.policy.published.empty() || !context.container.view) return Outcome::kHousekeeping;
  Relay& relay = context.host.relay;
  try {
    if (port) {
      auto inside =
          context.bound.of(socket_cookie(socket), port->mapping.container_port, identity.domain);
      relay.serve_direct(port->id, service_of(context, socket, identity.domain, inside));
      return Outcome::kHousekeeping;
    }
    if (identity.netns != context.container.view->cookie()) return Outcome::kHousekeeping;
    auto name = local_name(socket);
    if (!name || !is_stream(identity.protocol) || is_loopback(name->address)) {
      return Outcome::kHousekeeping;
    }
    auto own = find_port(context.policy, IPPROTO_TCP, name->port);
    if (own) {
      relay.serve_inside(own->id, service_of(context, socket, identity.domain, name->address));
    }
  } catch (const ErrnoError& error) {
    context.detail = error.what();
    return Outcome::kPublishedUnreachable;
  }
  return Outcome::kHousekeeping;
}

}  // namespace sockswitch
