#include "publish/relay.h"

#include <sys/resource.h>

#include <utility>

namespace sockswitch {
namespace {

// A connection takes six descriptors; the rest is for listeners and reservations.
std::size_t connection_limit() {
  struct rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return static_cast<std::size_t>(limit.rlim_max) / 16;
}

}  // namespace

Relay::Relay(ControlThread& control, const PeerNames& names, HostNetwork& network, RepinPaths repin,
             std::function<void(const std::string&)> pin_kept)
    : control_(control),
      pins_(control, network, std::move(repin),
            {.moved = [this](std::uint64_t id) { moved(id); }, .kept = std::move(pin_kept)}),
      reactor_("ssw-relay",
               [this] {
                 for (const auto& [id, port] : tcp_) port->resume();
                 for (const auto& [id, port] : udp_) port->expire();
                 pins_.tick();
               }),
      shared_{.reactor = reactor_,
              .neighbours = neighbours_,
              .names = names,
              .pins = pins_,
              .pipes = {},
              .max_connections = connection_limit()} {}

Relay::~Relay() {
  pins_.stop();
  reactor_.stop();
  tcp_.clear();
  udp_.clear();
}

void Relay::run(const std::function<void()>& work) {
  reactor_.run(work, [this] { control_.run([this] { reactor_.poke(); }); });
}

void Relay::moved(std::uint64_t id) {
  reactor_.post([this, id] {
    if (auto found = tcp_.find(id); found != tcp_.end()) found->second->moved();
  });
}

void Relay::add(const std::shared_ptr<Publication>& publication, UniqueFd reservation) {
  run([&] {
    if (publication->mapping.protocol == IPPROTO_UDP) {
      udp_.emplace(publication->id,
                   std::make_unique<UdpPort>(reactor_, publication, std::move(reservation)));
      return;
    }
    tcp_.emplace(publication->id,
                 std::make_unique<TcpPort>(shared_, publication, std::move(reservation)));
  });
}

void Relay::remove(std::uint64_t id) {
  run([&] {
    tcp_.erase(id);
    udp_.erase(id);
  });
}

void Relay::attach(std::uint64_t id, const std::shared_ptr<NetworkView>& view) {
  run([&] {
    if (auto found = tcp_.find(id); found != tcp_.end()) found->second->attach(view);
    if (auto found = udp_.find(id); found != udp_.end()) found->second->attach(view);
  });
}

void Relay::serve_direct(std::uint64_t id, const Service& service) {
  run([&] {
    if (auto found = tcp_.find(id); found != tcp_.end()) found->second->serve_direct(service);
  });
}

void Relay::serve_inside(std::uint64_t id, const Service& service) {
  run([&] {
    if (auto found = tcp_.find(id); found != tcp_.end()) found->second->serve_inside(service);
  });
}

void Relay::share(std::uint64_t id, bool on) {
  run([&] {
    if (auto found = tcp_.find(id); found != tcp_.end()) found->second->share(on);
  });
}

}  // namespace sockswitch
