#include "policy/network_view.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/epoll.h>

#include <algorithm>

#include "kernel/descriptor_table.h"
#include "kernel/errno_error.h"
#include "kernel/syscalls.h"

namespace sockswitch {
namespace {

// A bound on memory, not a tuning knob: a crawler that meets more starts anew.
constexpr std::size_t kCacheEntries = 8192;

std::uint64_t cookie_of(int socket_fd) {
  auto cookie = netns_cookie(socket_fd);
  if (!cookie) throw_errno("getsockopt", "SO_NETNS_COOKIE (Linux 5.14)");
  return *cookie;
}

std::string device_name(int index) {
  char name[IF_NAMESIZE] = "";
  return ::if_indextoname(static_cast<unsigned>(index), name) ? name : std::to_string(index);
}

bool usable(const std::optional<Route>& route) { return route && route->type == RTN_UNICAST; }

}  // namespace

HostNetwork::HostNetwork(Watcher& watcher)
    : watcher_(watcher),
      routes_(open_route_socket()),
      monitor_(open_route_monitor()),
      cookie_(cookie_of(monitor_.get())) {
  watch_ = watcher_.add(monitor_.get(), EPOLLIN, [this] {
    drain_monitor(monitor_.get());
    generation_.fetch_add(1, std::memory_order_release);
    return true;
  });
}

HostNetwork::~HostNetwork() { watcher_.remove(watch_); }

std::optional<Route> HostNetwork::lookup(const Address& destination) {
  std::lock_guard lock(mutex_);
  return routes_.lookup(destination);
}

std::optional<Route> HostNetwork::matched_prefix(const Address& destination) {
  std::lock_guard lock(mutex_);
  return routes_.matched_prefix(destination);
}

NetworkView::NetworkView(Netns netns, std::string helper, HostNetwork& host, Watcher& watcher,
                         ControlThread& control)
    : netns_(std::move(netns)),
      helper_(std::move(helper)),
      host_(host),
      watcher_(watcher),
      control_(control),
      sockets_(netns_.open_view(helper_)),
      routes_(std::move(sockets_[0])),
      cookie_(cookie_of(sockets_[1].get())) {
  look_for_uplinks();
  watch_ = watcher_.add(sockets_[1].get(), EPOLLIN, [this] {
    drain_monitor(sockets_[1].get());
    generation_.fetch_add(1, std::memory_order_release);
    return true;
  });
}

NetworkView::~NetworkView() { watcher_.remove(watch_); }

UniqueFd NetworkView::open_socket(int domain, int type, int protocol) const {
  // The helper is started by the calling thread: a container that asks for many sockets must not
  // keep the control thread from others.
  Netns here = netns_.copied([&](int fd) {
    return control_.fetch([fd] { return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); });
  });
  return here.open_socket(helper_, domain, type, protocol);
}

int NetworkView::fresh_socket(int domain) const {
  if (domain == AF_INET) return sockets_[2].get();
  return sockets_.size() > 3 ? sockets_[3].get() : -1;
}

void NetworkView::look_for_uplinks() {
  using Clock = std::chrono::steady_clock;
  auto start = Clock::now();
  if (!uplinks_.empty() || start < next_look_) return;
  uplinks_ = routes_.default_routes();
  // The kernel lists all routes, of which a container can have a million: a tenth of the time is
  // enough.
  next_look_ = start + 10 * (Clock::now() - start);
}

RouteDecision NetworkView::decide(const Address& destination) {
  // Read before asking the kernel: a change meanwhile makes the answer one generation too old.
  std::uint64_t generation = generation_.load(std::memory_order_acquire);
  std::uint64_t host_generation = host_.generation();
  std::lock_guard lock(mutex_);
  if (generation != cached_generation_ || host_generation != cached_host_generation_ ||
      cache_.size() >= kCacheEntries) {
    cache_.clear();
    cached_generation_ = generation;
    cached_host_generation_ = host_generation;
  }
  auto found = cache_.find(destination);
  if (found != cache_.end()) return found->second;
  RouteDecision decision;
  control_.run([&] { decision = resolve(destination, nullptr); });
  cache_.emplace(destination, decision);
  return decision;
}

bool NetworkView::is_on_link(const Address& destination) {
  std::lock_guard lock(mutex_);
  std::optional<Route> route;
  control_.run([&] { route = routes_.lookup(destination); });
  return usable(route) && !route->has_gateway;
}

RouteDecision NetworkView::explain(const Address& destination, std::string& detail) {
  std::lock_guard lock(mutex_);
  return resolve(destination, &detail);
}

RouteDecision NetworkView::resolve(const Address& destination, std::string* detail) {
  auto say = [&](const std::string& text) {
    if (detail) *detail = text;
  };
  auto inside = routes_.lookup(destination);
  if (inside && inside->type == RTN_LOCAL) {
    say("the container's own address");
    return {Outcome::kContainerAddress, 0};
  }
  if (inside && inside->type == RTN_BROADCAST) return {Outcome::kBroadcast, 0};
  if (!usable(inside)) {
    say("no route to " + destination.text() + " in the container");
    return {Outcome::kNoRoute, 0};
  }
  look_for_uplinks();
  auto leads_there = [&](const Route& uplink) {
    return uplink.has_gateway && uplink.gateway == destination;
  };
  if (std::ranges::any_of(uplinks_, leads_there)) return {Outcome::kGateway, 0};

  auto outside = host_.lookup(destination);
  if (outside && outside->type == RTN_LOCAL) {
    say(destination.text() + " is local to the host");
    return {Outcome::kHostAddress, 0};
  }
  auto same_device = [&](const Route& uplink) { return uplink.device == inside->device; };
  if (!std::ranges::any_of(uplinks_, same_device)) {
    say("the container's device number " + std::to_string(inside->device) +
        " did not hold its first default route");
    return {Outcome::kNotUplink, 0};
  }
  if (!usable(outside)) {
    say("no route to " + destination.text() + " on the host");
    return {Outcome::kNoHostRoute, 0};
  }
  if (!inside->has_gateway) {
    auto link_inside = routes_.matched_prefix(destination);
    auto link_outside = host_.matched_prefix(destination);
    if (outside->has_gateway || !link_inside || !link_outside ||
        link_inside->prefix != link_outside->prefix) {
      say("on-link in the container" + (link_inside ? " (" + link_inside->prefix + ")" : "") +
          ", not so on the host");
      return {Outcome::kOnLink, 0};
    }
    say("on-link in the container and on the host (" + link_inside->prefix + "), leaves by " +
        device_name(outside->device));
  } else {
    say("leaves by the container's uplink, then by " + device_name(outside->device) +
        (outside->has_gateway ? " over " + outside->gateway.text() : ""));
  }
  return {Outcome::kSwitched, outside->device};
}

std::shared_ptr<NetworkView> NetworkViews::of_process(pid_t pid) {
  Netns netns = Netns::of_process(pid);
  NetnsIdentity identity = netns.identity();
  std::lock_guard lock(mutex_);
  std::erase_if(views_, [](const auto& entry) { return entry.second.expired(); });
  auto found = views_.find(identity);
  if (found != views_.end()) {
    if (auto view = found->second.lock()) return view;
  }
  // A listener thread may be the last to let go of it, by a neighbour's door.
  auto view = dropped_in_common_table(
      control_,
      std::make_unique<NetworkView>(std::move(netns), helper_, host_, watcher_, control_));
  views_[identity] = view;
  return view;
}

}  // namespace sockswitch
