#include "publish/neighbours.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/errno_error.h"
#include "kernel/linux_abi.h"
#include "kernel/sock_diag.h"
#include "publish/inside.h"
#include "publish/tcp_port.h"

namespace sockswitch {
namespace {

// For better or worse: what is tried in vain may be a program that has nothing to do with it, whose
// address another container has claimed. It sees an empty connection.
constexpr std::chrono::seconds kProofLasts{10};
constexpr int kAnswerMs = 20;
// A bound on memory, not a tuning knob.
constexpr std::size_t kMaxProofs = 4096;

bool takes(const NeighbourDoor& door, const Address& address) {
  bool family = address.is_v4() ? door.domain == AF_INET || !door.v6_only : door.domain == AF_INET6;
  return family && (is_unspecified(door.inside) || door.inside == address);
}

// An address of the wanted family on the device that the service's socket is pinned to.
std::optional<Outlet> outlet_of(const NeighbourDoor& door, bool v4) {
  const Mapping& mapping = door.publication->mapping;
  auto routes = own_default_routes();
  auto pinned = find_outlet(mapping, door.domain, door.v6_only, routes);
  if (!pinned || pinned->address.is_v4() == v4) return pinned;
  auto other = v4 ? std::nullopt : find_outlet(mapping, AF_INET6, true, routes);
  return other && other->device == pinned->device ? other : std::nullopt;
}

// Puts the name down for what the service has accepted, or will.
void keep_name(int client, const Outlet& outlet, std::uint16_t port, const NameMaps& names,
               const Endpoint& name) {
  const auto own = own_endpoint(client);
  if (!own) return;
  try {
    const auto accepted =
        find_connection({outlet.address, port}, {own->first, own->second}, outlet.device);
    if (accepted) names.keep(*accepted, name);
  } catch (const ErrnoError&) {  // NOLINT(bugprone-empty-catch): the host's address is seen, then
  }
}

}  // namespace

bool Shortcut::connect(int fd, int domain, const NameMaps& names) const {
  std::shared_lock lock(door->in_use);
  if (!door->open) return false;
  // If the address has ceased to be the host's, nothing is sent to whoever has it now.
  int on = 1;
  ::setsockopt(fd, IPPROTO_IP, abi::kIpBindAddressNoPort, &on, sizeof on);
  SocketName own = SocketName::of(domain, outlet.address, 0);
  if (::bind(fd, own.get(), own.length) != 0) return false;
  SocketName to = SocketName::of(domain, outlet.address, door->publication->mapping.host_port);
  const Endpoint name{client, 0};
  const bool named = !door->publication->host_names && names.show(fd, name);
  int error = start_connect(fd, to);
  if (error != 0 && error != EINPROGRESS) return false;
  // Within the host that takes microseconds, unless the service's queue is full.
  struct pollfd wait{.fd = fd, .events = POLLOUT};
  ::poll(&wait, 1, kAnswerMs);
  std::uint8_t state = 0;  // tcpi_state, the first byte of tcp_info
  socklen_t length = sizeof state;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &length) != 0) return false;
  // The service may have ended it.
  if (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT) return false;
  if (named) keep_name(fd, outlet, door->publication->mapping.host_port, names, name);
  return ::setsockopt(fd, SOL_SOCKET, abi::kSoBindToIfindex, &outlet.device,
                      sizeof outlet.device) == 0;
}

std::string Shortcut::text() const {
  return Destination{outlet.address, door->publication->mapping.host_port}.text();
}

Neighbours::Found Neighbours::find(const Destination& to, NetworkView& from,
                                   const Permissions& permissions) {
  Key key{from.cookie(), permissions.network_admin, permissions.ignores_firewall, to.address,
          to.port};
  // Read before anything is asked: a change meanwhile makes the proof one generation too old.
  std::uint64_t from_generation = from.generation();
  {
    std::lock_guard lock(mutex_);
    auto known = proofs_.find(key);
    if (known != proofs_.end()) {
      const Proof& proof = known->second;
      const auto& shortcut = proof.found.shortcut;
      bool holds = proof.from_generation == from_generation && Clock::now() < proof.until;
      if (holds && shortcut) {
        const NeighbourDoor& door = *shortcut->door;
        holds = door.open && proof.door_generation == door.view->generation();
      }
      if (holds) return proof.found;
    }
  }
  auto door = door_at(to, from);
  if (!door) return {};
  std::uint64_t door_generation = door->view->generation();
  Found found{.published = true};
  try {
    found = prove(door, to, from, permissions);
  } catch (const ErrnoError& error) {
    found.why = error.what();
  }
  std::lock_guard lock(mutex_);
  if (!doors_.contains(door->publication->id)) return found;  // closed meanwhile
  if (proofs_.size() >= kMaxProofs) proofs_.clear();
  proofs_.insert_or_assign(
      key, Proof{found, from_generation, door_generation, Clock::now() + kProofLasts});
  return found;
}

std::shared_ptr<NeighbourDoor> Neighbours::door_at(const Destination& to, const NetworkView& from) {
  std::vector<std::shared_ptr<NeighbourDoor>> doors;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, door] : doors_) {
      if (door->publication->mapping.container_port != to.port || !takes(*door, to.address))
        continue;
      if (door->view->cookie() != from.cookie()) doors.push_back(door);
    }
  }
  // Nobody is knocked at whose address it is not: that may be a program of any container.
  auto has_address = [&](const auto& door) { return door->view->is_own(to.address); };
  auto found = std::ranges::find_if(doors, has_address);
  return found == doors.end() ? nullptr : *found;
}

Neighbours::Found Neighbours::prove(const std::shared_ptr<NeighbourDoor>& door,
                                    const Destination& to, NetworkView& from,
                                    const Permissions& permissions) {
  bool v4 = to.address.is_v4();
  auto outlet = outlet_of(*door, v4);
  if (!outlet) return {true, {}, "published on an address of another family"};
  if (!from.is_on_link(to.address)) return {true, {}, "on another network"};
  // A container that may not leave its network must not have a socket that could.
  auto outside = from.decide({outside_address(v4 ? AF_INET : AF_INET6), 0, 0}, -1, permissions);
  if (outside.outcome != Outcome::kSwitched) return {true, {}, "on a network that leads nowhere"};
  if (outside.device != outlet->device) {
    return {
        true, {}, "published on an interface that the container's other connections do not use"};
  }
  const auto client = knock(*door, to, from);
  if (!client) return {true, {}, "the network between the two does not lead there"};
  return {true, Shortcut{door, *outlet, outside.one_family, *client}, {}};
}

std::optional<Address> Neighbours::knock(const NeighbourDoor& door, const Destination& to,
                                         const NetworkView& from) {
  int domain = to.address.is_v4() ? AF_INET : AF_INET6;
  UniqueFd fd = from.open_socket(domain, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP);
  Knock knock{.publication = door.publication->id};
  if (::getrandom(knock.token.data(), knock.token.size(), 0) !=
      static_cast<ssize_t>(knock.token.size())) {
    throw_errno("getrandom");
  }
  std::optional<Endpoint> own;
  {
    // The door finds out whose connection it has when both are known.
    std::lock_guard lock(mutex_);
    int error = start_connect(fd.get(), SocketName::of(domain, to.address, to.port));
    if (error == 0 || error == EINPROGRESS) own = own_endpoint(fd.get());
    if (!own || !knocks_.emplace(*own, knock).second) return {};
  }
  Token heard{};
  struct pollfd wait{.fd = fd.get(), .events = POLLIN};
  bool answered = ::poll(&wait, 1, kAnswerMs) == 1 &&
                  ::recv(fd.get(), heard.data(), heard.size(), MSG_DONTWAIT) ==
                      static_cast<ssize_t>(heard.size()) &&
                  heard == knock.token;
  std::lock_guard lock(mutex_);
  knocks_.erase(*own);
  return answered ? std::optional(own->first) : std::nullopt;
}

void Neighbours::opened(const std::shared_ptr<Publication>& publication, const Service& service) {
  auto door = std::make_shared<NeighbourDoor>();
  door->publication = publication;
  door->view = service.view;
  door->domain = service.domain;
  door->v6_only = service.v6_only;
  door->inside = service.inside;
  std::lock_guard lock(mutex_);
  doors_.emplace(publication->id, std::move(door));
}

void Neighbours::closed(std::uint64_t publication) {
  std::vector<std::shared_ptr<NeighbourDoor>> gone;
  {
    std::lock_guard lock(mutex_);
    auto [first, last] = doors_.equal_range(publication);
    for (auto entry = first; entry != last; ++entry) gone.push_back(entry->second);
    doors_.erase(first, last);
    // What is proved of them would keep their network namespaces.
    std::erase_if(proofs_, [&](const auto& entry) {
      const auto& shortcut = entry.second.found.shortcut;
      return shortcut && shortcut->door->publication->id == publication;
    });
  }
  for (const auto& door : gone) {
    door->open = false;                  // for those that come
    std::lock_guard wait(door->in_use);  // for those that are at it
  }
}

bool Neighbours::answer(std::uint64_t publication, int client) {
  Token token;
  {
    std::lock_guard lock(mutex_);
    if (knocks_.empty()) return false;
    auto peer = peer_endpoint(client);
    auto known = peer ? knocks_.find(*peer) : knocks_.end();
    if (known == knocks_.end() || known->second.publication != publication) return false;
    token = known->second.token;
  }
  ::send(client, token.data(), token.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  return true;
}

}  // namespace sockswitch
