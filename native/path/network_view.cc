#include "path/network_view.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/errno_error.h"
#include "kernel/descriptor_table.h"

namespace sockswitch {
namespace {

// A bound on memory, not a tuning knob: a crawler that meets more starts anew.
constexpr std::size_t kRememberedWays = 8192;

using Clock = std::chrono::steady_clock;

// How long packet filters that report no changes may have changed unseen.
constexpr std::chrono::seconds kSilence{1};
constexpr std::chrono::seconds kReplacing{5};  // as long as a large table takes

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : "; ") + word;
  return text;
}

}  // namespace

std::size_t NetworkView::KeyHash::operator()(const Key& key) const {
  constexpr std::size_t kSpread = 0x9e3779b97f4a7c15;
  return AddressHash{}(key.address) ^ (kSpread * (key.port + (std::size_t{key.uid} << 16U)));
}

NetworkView::NetworkView(Netns netns, std::string helper, HostNetwork& host, Surroundings& around,
                         Watcher& watcher, ControlThread& control)
    : helper_(std::move(helper)),
      host_(host),
      around_(around),
      control_(control),
      inside_(std::move(netns), helper_, watcher) {}

// Forgets what another state of the network said. Under the lock.
void NetworkView::stand() {
  Standing now;
  now.looked = Clock::now();
  if (now.looked - standing_.looked >= kSilence) {
    control_.run([&] { inside_.look_for_silent_changes(); });
  } else {
    now.looked = standing_.looked;
  }
  // Read before the kernel is asked: a change meanwhile makes the answer one generation too old.
  now.inside = inside_.generation();
  now.around = around_.generation();
  now.host = host_.generation();
  bool same = standing_.settled && now.inside == standing_.inside &&
              now.around == standing_.around && now.host == standing_.host;
  if (same) {
    standing_.looked = now.looked;
    return;
  }
  ways_.clear();
  blocks_.clear();
  control_.run([&] {
    const RoutingTables& tables = inside_.tables();
    now.settled = true;
    now.by_uid = tables.v4.uid || tables.v6.uid;
    now.by_port = tables.v4.port || tables.v6.port;
    now.restriction = restriction(ground(), now.settled);
    std::vector<std::string> words;
    now.v6 = leads_out(ground(), false, &words);
    // Of two reasons the one that is not "no route" is the better one.
    if (now.v6.outcome == Outcome::kNoRoute) words.clear();
    std::vector<std::string> words_v4;
    now.v4 = leads_out(ground(), true, &words_v4);
    now.words = joined(now.v4.outcome == Outcome::kNoRoute && !words.empty() ? words : words_v4);
    now.settled = now.settled && now.v4.settled && now.v6.settled;
  });
  // Where looking has found a namespace of bridges, that counts from now on.
  now.around = std::max(now.around, around_.generation());
  standing_ = std::move(now);
}

RoutedPacket NetworkView::packet(const Destination& to, int socket) const {
  RoutedPacket packet{.destination = to.address, .port = to.port};
  struct stat owner{};
  if (standing_.by_uid && socket >= 0 && ::fstat(socket, &owner) == 0) packet.uid = owner.st_uid;
  return packet;
}

// Of one that leads to nowhere in particular.
bool NetworkView::gets_out(const Way& way, const Permissions& permissions) const {
  return way.outcome == Outcome::kSwitched && (!way.filtered || permissions.ignores_firewall);
}

RouteDecision NetworkView::permitted(const Way& way, bool v4, const Permissions& permissions,
                                     std::string* why) const {
  auto say = [&](const std::string& text) {
    if (why) *why += (why->empty() ? "" : "; ") + text;
  };
  if (way.outcome != Outcome::kSwitched) return {.outcome = way.outcome};
  if (!permissions.network_admin && !standing_.restriction.empty()) {
    say("the container's network is restricted: " + standing_.restriction);
    return {.outcome = Outcome::kRestricted};
  }
  if (way.filtered && !permissions.ignores_firewall) {
    say(way.filter);
    return {.outcome = Outcome::kFirewall};
  }
  if (way.translated) {
    say("the container's own rules may translate this destination");
    return {.outcome = Outcome::kTranslated};
  }
  return {.outcome = Outcome::kSwitched,
          .device = way.device,
          .source = way.source,
          .one_family = !gets_out(v4 ? standing_.v6 : standing_.v4, permissions)};
}

RouteDecision NetworkView::decide(const Destination& to, int socket,
                                  const Permissions& permissions) {
  const bool v4 = to.address.is_v4();
  std::lock_guard lock(mutex_);
  stand();
  RoutedPacket asked = packet(to, socket);
  Key key{.address = to.address,
          .port = standing_.by_port ? to.port : std::uint16_t{0},
          .uid = asked.uid.value_or(0)};
  auto found = ways_.find(key);
  if (found != ways_.end()) return permitted(found->second, v4, permissions, nullptr);
  Way way;
  control_.run([&] { way = follow(ground(), asked); });
  RouteDecision decision = permitted(way, v4, permissions, nullptr);
  if (way.settled && standing_.settled) {
    if (ways_.size() >= kRememberedWays) ways_.clear();
    ways_.emplace(key, std::move(way));
  }
  return decision;
}

RouteDecision NetworkView::explain(const Destination& to, const Permissions& permissions,
                                   std::string& detail) {
  std::lock_guard lock(mutex_);
  stand();
  std::vector<std::string> words;
  Way way;
  control_.run([&] { way = follow(ground(), packet(to, -1), &words); });
  detail = joined(words);
  return permitted(way, to.address.is_v4(), permissions, &detail);
}

BlockWay NetworkView::decide_block(const Ipv4Block& block) {
  std::lock_guard lock(mutex_);
  stand();
  if (auto found = blocks_.find(block); found != blocks_.end()) return found->second;
  BlockWay way;
  control_.run([&] { way = follow_block(ground(), block); });
  if (way.settled && standing_.settled) blocks_.emplace(block, way);
  return way;
}

bool NetworkView::may_switch(const Permissions& permissions, std::string* why) {
  std::lock_guard lock(mutex_);
  stand();
  bool restricted = !permissions.network_admin && !standing_.restriction.empty();
  if (why && restricted) *why = "the container's network is restricted: " + standing_.restriction;
  if (restricted) return false;
  for (const Way* way : {&standing_.v4, &standing_.v6}) {
    if (gets_out(*way, permissions)) return true;
    if (why && way->outcome == Outcome::kSwitched) *why = way->filter;
  }
  if (why && why->empty()) *why = standing_.words;
  return false;
}

void NetworkView::count_reports(int reports) {
  struct pollfd waiting{.fd = reports, .events = POLLIN};
  const bool reported = ::poll(&waiting, 1, 0) != 0;
  if (!reported) inside_.finish_counting();
  const bool silent = Clock::now() < silent_until_.load(std::memory_order_acquire);
  if (!reported && !silent) return;
  control_.run([&] {
    if (reported) inside_.look_for_reported_changes();
    if (silent) inside_.look_for_silent_changes();
  });
}

void NetworkView::expect_silent_change() {
  silent_until_.store(Clock::now() + kReplacing, std::memory_order_release);
}

UniqueFd NetworkView::reports() const {
  return control_.bring([&] {
    UniqueFd copy(::fcntl(inside_.reports(), F_DUPFD_CLOEXEC, 0));
    if (!copy) throw_errno("fcntl", "F_DUPFD_CLOEXEC");
    return copy;
  });
}

bool NetworkView::is_own(const Address& address) {
  return decide({address, 0, 0}, -1, {}).outcome == Outcome::kContainerAddress;
}

std::optional<Address> NetworkView::address_outwards(bool v4) {
  std::optional<FoundRoute> route;
  control_.run([&] { route = inside_.route({.destination = nowhere(v4)}); });
  if (!route || route->type != RTN_UNICAST) return {};
  return route->source;
}

bool NetworkView::is_on_link(const Address& destination) {
  std::optional<FoundRoute> route;
  control_.run([&] { route = inside_.route({.destination = destination}); });
  return route && route->type == RTN_UNICAST && !route->gateway;
}

std::vector<Address> NetworkView::service_addresses() {
  std::vector<Address> addresses;
  control_.run([&] {
    inside_.look_for_silent_changes();
    addresses = inside_.firewall().service_addresses();
    for (const Address& address : inside_.ipvs_service_addresses()) addresses.push_back(address);
  });
  return addresses;
}

UniqueFd NetworkView::open_socket(int domain, int type, int protocol,
                                  const std::string& label) const {
  // The helper is started by the calling thread: a container that asks for many sockets must not
  // keep the control thread from others.
  Netns here = inside_.netns().copied([&](int fd) {
    return control_.bring([fd] { return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); });
  });
  return here.open_socket(helper_, domain, type, protocol, label);
}

std::unique_ptr<SocketSource> NetworkView::start_source() const {
  return inside_.netns().start_source(helper_);
}

std::shared_ptr<NetworkView> NetworkViews::of(Netns netns) {
  NetnsIdentity identity = netns.identity();
  std::lock_guard lock(mutex_);
  std::erase_if(views_, [](const auto& entry) { return entry.second.expired(); });
  auto found = views_.find(identity);
  if (found != views_.end()) {
    if (auto view = found->second.lock()) return view;
  }
  // Listener threads hold it, too, and may be the last to.
  auto view = dropped_in_common_table(
      control_,
      std::make_unique<NetworkView>(std::move(netns), helper_, host_, around_, watcher_, control_));
  if (view->cookie() == host_.cookie()) {
    throw ErrnoError(EINVAL, "setns", "the container's network namespace is the host's");
  }
  views_[identity] = view;
  return view;
}

}  // namespace sockswitch
