#include "tunnel/tunnels.h"

#include <linux/rtnetlink.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "base/errno_error.h"
#include "kernel/netlink_message.h"

namespace sockswitch::tunnel {
namespace {

constexpr std::size_t kDatagram = std::size_t{32} * 1024;
constexpr int kDatagramsAtOnce = 64;
constexpr std::size_t kMaxTold = 64;  // devices that are told of

std::string device_text(const TunnelDevice& device) {
  return device.name + ": " + kind_name(device.kind) + ", UDP port " + std::to_string(device.port);
}

}  // namespace

struct Tunnels::Space {
  std::uint64_t netns = 0;
  Surroundings surroundings;
  std::set<std::uint64_t> owners;
  UniqueFd monitor;
  std::uint64_t watch = 0;

  std::mutex opening;  // one underlay at a time is made, after sweep()
  std::unique_ptr<NetlinkSocket> asking;
  std::mutex mutex;  // of what follows
  std::set<std::uint16_t> told;
  std::shared_ptr<Underlay> underlay;
  std::optional<Options> wanted;  // no value: closed
};

Tunnels::~Tunnels() { stop({}); }

bool Tunnels::stop(std::chrono::steady_clock::time_point until) {
  std::vector<std::uint64_t> owners;
  owners.reserve(owners_.size());
  for (const auto& [owner, space] : owners_) owners.push_back(owner);
  for (std::uint64_t owner : owners) forget(owner);
  return work_.finish(until);
}

void Tunnels::watch(std::uint64_t owner, std::uint64_t netns, Surroundings surroundings) {
  {
    std::lock_guard lock(mutex_);
    if (auto known = spaces_.find(netns); known != spaces_.end()) {
      known->second->owners.insert(owner);
      owners_[owner] = known->second;
      return;
    }
  }
  auto space = std::make_shared<Space>();
  space->netns = netns;
  space->surroundings = std::move(surroundings);
  const auto source = space->surroundings.start_source();
  space->monitor = open_monitor(*source, {RTNLGRP_LINK});
  space->asking =
      std::make_unique<NetlinkSocket>(source->open(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  // Those that are there already: a daemon that was started anew.
  const Found now = discover(*space->asking, nullptr, 1);
  space->owners.insert(owner);
  {
    std::lock_guard lock(mutex_);
    spaces_[netns] = space;
    owners_[owner] = space;
  }
  space->watch = watcher_.add(space->monitor.get(), EPOLLIN, [this, space] { return hear(space); });
  for (const TunnelDevice& device : now.devices) found(*space, device);
  work_.run([space] {
    std::lock_guard opening(space->opening);
    sweep(*space);
  });
}

// Removes the rules that a daemon which was killed has left, before there is one of this daemon's.
void Tunnels::sweep(Space& space) {
  if (!space.asking) return;
  remove_rules(*space.asking);
  space.asking.reset();
}

// On the watcher's thread, for all containers: little at a time.
bool Tunnels::hear(const std::shared_ptr<Space>& space) {
  std::vector<std::uint8_t> buffer(kDatagram);
  for (int i = 0; i < kDatagramsAtOnce; ++i) {
    sockaddr_nl from{};
    socklen_t length = sizeof from;
    const ssize_t got = ::recvfrom(space->monitor.get(), buffer.data(), buffer.size(), 0,
                                   reinterpret_cast<sockaddr*>(&from), &length);
    if (got < 0 && errno == ENOBUFS) continue;  // what was lost is seen at its next change
    if (got < 0) return true;
    if (from.nl_pid != 0) continue;  // not the kernel's
    NetlinkMessages walk(NetlinkBytes(buffer).first(static_cast<std::size_t>(got)));
    for (NetlinkMessage message; walk.next(message);) {
      auto device = parse_device(message);
      if (device && device->up) found(*space, *device);
    }
  }
  return true;
}

void Tunnels::found(Space& space, const TunnelDevice& device) {
  {
    std::lock_guard lock(space.mutex);
    if (space.told.size() >= kMaxTold || !space.told.insert(device.port).second) return;
  }
  std::set<std::uint64_t> owners;
  {
    std::lock_guard lock(mutex_);
    owners = space.owners;
  }
  for (std::uint64_t owner : owners) {
    sink_({Event::Type::kFound, owner, device_text(device), device.port});
  }
}

std::shared_ptr<Tunnels::Space> Tunnels::of(std::uint64_t owner) const {
  std::lock_guard lock(mutex_);
  auto found = owners_.find(owner);
  return found == owners_.end() ? nullptr : found->second;
}

void Tunnels::open(std::uint64_t owner, Options options) {
  auto space = of(owner);
  if (!space) return;
  {
    std::lock_guard lock(space->mutex);
    space->wanted = std::move(options);
    if (space->underlay) return space->underlay->configure(*space->wanted);
  }
  work_.run([this, owner, space] { make(owner, *space); });
}

void Tunnels::make(std::uint64_t owner, Space& space) {
  std::lock_guard opening(space.opening);
  sweep(space);
  Options options;
  {
    std::lock_guard lock(space.mutex);
    if (!space.wanted || space.underlay) return;
    options = *space.wanted;
  }
  auto report = [this, owner](bool up, const Remote& peer, const std::string& reason) {
    const std::string where = Destination{peer.address, peer.port, 0}.text();
    sink_({up ? Event::Type::kUp : Event::Type::kDown, owner,
           reason.empty() ? where : where + ": " + reason});
  };
  try {
    auto made = std::make_shared<Underlay>(space.surroundings, options, std::move(report));
    std::lock_guard lock(space.mutex);
    if (!space.wanted) return;  // closed meanwhile
    made->configure(*space.wanted);
    space.underlay = std::move(made);
  } catch (const ErrnoError& error) {
    sink_({Event::Type::kFailed, owner, error.what()});
  }
}

void Tunnels::close(Space& space) {
  std::shared_ptr<Underlay> underlay;
  {
    std::lock_guard lock(space.mutex);
    underlay = std::move(space.underlay);
    space.wanted.reset();
  }
  if (underlay) work_.run([held = std::move(underlay)]() mutable { held.reset(); });
}

void Tunnels::close(std::uint64_t owner) {
  if (auto space = of(owner)) close(*space);
}

std::optional<Status> Tunnels::status(std::uint64_t owner) const {
  auto space = of(owner);
  if (!space) return {};
  std::shared_ptr<Underlay> underlay;
  {
    std::lock_guard lock(space->mutex);
    underlay = space->underlay;
  }
  if (!underlay) return {};
  return underlay->status();
}

void Tunnels::forget(std::uint64_t owner) {
  std::shared_ptr<Space> space;
  {
    std::lock_guard lock(mutex_);
    auto found = owners_.find(owner);
    if (found == owners_.end()) return;
    space = found->second;
    owners_.erase(found);
    space->owners.erase(owner);
    if (!space->owners.empty()) return;
    spaces_.erase(space->netns);
  }
  watcher_.remove(space->watch);
  close(*space);
}

void remove_leftovers(pid_t pid, const std::string& helper) {
  const Netns netns = Netns::of_process(pid);
  NetlinkSocket asking(netns.open_socket(helper, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  remove_rules(asking);
}

}  // namespace sockswitch::tunnel
