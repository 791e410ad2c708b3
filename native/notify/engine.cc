#include "notify/engine.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <chrono>
#include <stdexcept>

#include "base/errno_error.h"
#include "base/public_address.h"
#include "notify/pods.h"

namespace sockswitch {
namespace {

// A listener ends within a millisecond, if nothing that its container made keeps it.
constexpr std::chrono::seconds kPatience{2};
// Taps go one after the other, each with a grace period of the kernel.
constexpr std::chrono::seconds kTunnelPatience{5};

OptionBaselines read_host_baselines() {
  UniqueFd v4(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  UniqueFd v6(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return read_baselines(v4.get(), v6.get());
}

// Each container takes some descriptors, and the epoll transfer needs the containers' numbers.
void raise_descriptor_limit() {
  struct rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// What a restriction means for a process of the listener that nothing is known of.
void respect_landlock(Restricted who, RouteDecision& decision, std::string& detail) {
  if (decision.device == 0 || who == Restricted::kNobody) return;
  if (who == Restricted::kAnybody) decision = {Outcome::kLandlock, 0, {}};
  detail +=
      who == Restricted::kAnybody
          ? "; but a program has restricted itself by Landlock"
          : "; but not for programs with no_new_privs, as one has restricted itself by Landlock";
}

}  // namespace

Engine::Engine(std::string helper, GuardSource guard, PeerNames names, RepinPaths repin,
               Listener::Sink sink)
    : helper_(std::move(helper)),
      sink_(std::move(sink)),
      network_(watcher_),
      views_(helper_, network_, watcher_, control_),
      fresh_(read_host_baselines()),
      names_(std::move(names)),
      relay_(control_, names_, network_, std::move(repin),
             [this](const std::string& detail) { report_pin(detail); }),
      guard_(std::move(guard)),
      host_{helper_, network_, control_, fresh_, relay_, guard_, names_, marks_},
      tunnels_(std::make_unique<tunnel::Tunnels>(
          watcher_, [this](const tunnel::Event& event) { report_tunnel(event); })) {
  raise_descriptor_limit();
}

Engine::~Engine() = default;

std::uint64_t Engine::attach(UniqueFd fd, UniqueFd record, pid_t pid,
                             const std::optional<NetnsIdentity>& netns,
                             const std::string& container_key, Policy policy) {
  std::lock_guard lock(mutex_);
  reap();
  std::uint64_t number = next_++;
  int notify_fd = fd.get();
  Entry entry;
  entry.listener = std::make_unique<Listener>(
      number, std::move(fd), std::move(record), pid, netns, container(container_key),
      std::make_shared<const Policy>(std::move(policy)), views_, host_, sink_);
  // No events are asked for: POLLHUP comes anyway, and nothing else wakes the watcher.
  Listener* listener = entry.listener.get();
  entry.watch = watcher_.add(notify_fd, 0, [listener] { return !listener->hang_up(); });
  listeners_.emplace(number, std::move(entry));
  return number;
}

void Engine::set_policy(std::uint64_t number, Policy policy) {
  std::lock_guard lock(mutex_);
  auto found = listeners_.find(number);
  if (found == listeners_.end()) return;
  auto shared = std::make_shared<const Policy>(std::move(policy));
  found->second.listener->set_policy(shared);
  if (auto tunnels = tunnel_policies_.find(number); tunnels != tunnel_policies_.end()) {
    std::lock_guard policy_lock(tunnels->second->mutex);
    tunnels->second->policy = shared;
  }
}

tunnel::Surroundings Engine::surroundings(const std::shared_ptr<NetworkView>& view,
                                          const std::shared_ptr<TunnelPolicy>& policy) {
  auto permission = [view, policy](const Destination& to, bool with_reason) {
    std::shared_ptr<const Policy> now;
    {
      std::lock_guard lock(policy->mutex);
      now = policy->policy;
    }
    RouteDecision decision = judge(to, *now, *view, -1, nullptr);
    std::string detail;
    // Answers are remembered, reasons are not.
    if (with_reason && decision.outcome != Outcome::kSwitched) {
      decision = judge(to, *now, *view, -1, &detail);
    }
    tunnel::Permission answer;
    answer.allowed = decision.outcome == Outcome::kSwitched;
    answer.device = decision.device;
    answer.source = decision.source;
    if (!answer.allowed) {
      answer.reason =
          std::string(info(decision.outcome).name) + (detail.empty() ? "" : ": " + detail);
    }
    return answer;
  };
  return {.start_source = [view] { return view->start_source(); }, .permission = permission};
}

void Engine::watch_tunnels(std::uint64_t number, pid_t pid) {
  auto policy = std::make_shared<TunnelPolicy>();
  std::shared_ptr<ContainerState> container;
  std::optional<NetnsIdentity> wanted;
  {
    std::lock_guard lock(mutex_);
    const Listener& found = listener(number);
    policy->policy = found.policy();
    container = found.shared_container();
    if (found.record().netns != NetnsIdentity{}) wanted = found.record().netns;
    tunnel_policies_[number] = policy;
  }
  control_.post([this, number, policy, container, wanted, pid] {
    try {
      const auto view = container->network(views_, marks_, wanted, {pid}).view;
      tunnels_->watch(number, view->cookie(), surroundings(view, policy));
    } catch (const ErrnoError& error) {
      report_tunnel({tunnel::Event::Type::kFailed, number, error.what()});
    }
  });
}

void Engine::report_tunnel(const tunnel::Event& event) const {
  ListenerEvent report{};
  report.listener = event.owner;
  report.detail = event.detail;
  report.port = event.port;
  switch (event.type) {
    case tunnel::Event::Type::kFound:
      report.type = ListenerEvent::Type::kTunnelFound;
      break;
    case tunnel::Event::Type::kUp:
      report.type = ListenerEvent::Type::kTunnelUp;
      break;
    case tunnel::Event::Type::kDown:
      report.type = ListenerEvent::Type::kTunnelDown;
      break;
    case tunnel::Event::Type::kFailed:
      report.type = ListenerEvent::Type::kTunnelFailed;
      break;
  }
  sink_(std::move(report));
}

void Engine::report_pin(const std::string& detail) const {
  ListenerEvent report{};
  report.type = ListenerEvent::Type::kPinKept;
  report.detail = detail;
  sink_(std::move(report));
}

const OutcomeCounters& Engine::counters(std::uint64_t number) const {
  std::lock_guard lock(mutex_);
  return listener(number).record().counters;
}

const LatencyHistogram& Engine::latency(std::uint64_t number) const {
  std::lock_guard lock(mutex_);
  return listener(number).record().latency;
}

std::size_t Engine::nested_networks(std::uint64_t number) const {
  std::lock_guard lock(mutex_);
  return listener(number).container().nested().count();
}

Engine::Descriptors Engine::descriptors(std::uint64_t number) const {
  std::lock_guard lock(mutex_);
  const Listener& found = listener(number);
  return {.fd = found.notify_fd(), .record = found.record_fd()};
}

RouteDecision Engine::explain(std::uint64_t number, int protocol, const Destination& to, pid_t pod,
                              std::string& detail, std::string& device) const {
  std::lock_guard lock(mutex_);
  const Listener& found = listener(number);
  if (protocol != IPPROTO_TCP) return {fixed_rule(to).value_or(Outcome::kSocketType), 0, {}};
  auto network = found.container().network();
  if (!network) {
    detail = "the container's network is not known yet";
    return {Outcome::kInternal, 0, {}};
  }
  RouteDecision decision = pod != 0 ? explain_pod(to, pod, *found.policy(), *network->pods, detail)
                                    : judge(to, *found.policy(), *network->view, -1, &detail);
  if (pod == 0 && decision.outcome == Outcome::kPodmanNetwork) {
    decision = explain_neighbour(to, *network->view, found.policy()->permissions, detail);
  }
  respect_landlock(found.restricted(), decision, detail);
  if (decision.device != 0 && guard_.missing()) {
    bool switched = decision.outcome == Outcome::kSwitched;
    decision = {switched ? Outcome::kUnguarded : Outcome::kNeighbourRelayed, 0, {}};
  }
  char name[IF_NAMESIZE] = "";
  if (decision.device != 0 && ::if_indextoname(static_cast<unsigned>(decision.device), name)) {
    device = name;
  }
  return decision;
}

RouteDecision Engine::explain_pod(const Destination& to, pid_t pod, const Policy& policy,
                                  Pods& pods, std::string& detail) const {
  if (!policy.pods_egress) {
    detail = "sockswitch/pods is not \"egress\"";
    return {Outcome::kNestedNetns, 0, {}};
  }
  if (auto decision = judge_pod_by_address(to, policy, &detail)) return *decision;
  if (!guard_.available()) return {Outcome::kUnguarded, 0, {}};
  try {
    return pods.explain(pod, to, listed_for_pods(to.address, policy), policy.permissions, detail);
  } catch (const ErrnoError& error) {
    detail = error.what();
    return {Outcome::kUnknownWay, 0, {}};
  }
}

RouteDecision Engine::explain_neighbour(const Destination& to, NetworkView& from,
                                        const Permissions& permissions, std::string& detail) const {
  auto neighbour = relay_.neighbours().find(to, from, permissions);
  if (!neighbour.published) return {Outcome::kPodmanNetwork, 0, {}};
  if (!neighbour.shortcut) {
    detail += ", " + neighbour.why;
    return {Outcome::kNeighbourRelayed, 0, {}};
  }
  detail += ", published as " + neighbour.shortcut->text();
  return {Outcome::kNeighbour, neighbour.shortcut->outlet.device, {}};
}

Engine::Reservation Engine::reserve(const Mapping& mapping) {
  return adopt(mapping, sockswitch::reserve(mapping));
}

Engine::Reservation Engine::adopt(const Mapping& mapping, UniqueFd fd) {
  std::lock_guard lock(mutex_);
  auto publication = std::make_shared<Publication>();
  publication->id = next_publication_++;
  publication->mapping = mapping;
  int number = fd.get();
  relay_.add(publication, std::move(fd));
  publications_.emplace(publication->id, publication);
  return {publication->id, number};
}

void Engine::release(std::uint64_t reservation) {
  std::lock_guard lock(mutex_);
  publications_.erase(reservation);
  relay_.remove(reservation);
}

std::uint64_t Engine::lost_datagrams(std::uint64_t reservation) const {
  std::lock_guard lock(mutex_);
  auto known = publications_.find(reservation);
  return known == publications_.end() ? 0 : known->second->lost.load();
}

std::vector<std::shared_ptr<Publication>> Engine::published(
    const std::vector<std::uint64_t>& reservations) const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Publication>> found;
  for (std::uint64_t number : reservations) {
    if (auto known = publications_.find(number); known != publications_.end()) {
      found.push_back(known->second);
    }
  }
  return found;
}

void Engine::bury(Entry entry) {
  watcher_.remove(entry.watch);
  ending_.push_back(std::move(entry.listener));
}

void Engine::reap() {
  std::erase_if(ending_, [](const auto& listener) { return listener->stop(); });
}

std::string Engine::obstacle(std::uint64_t number) const {
  std::lock_guard lock(mutex_);
  const Listener& found = listener(number);
  const auto* network = found.container().network();
  std::string why;
  if (network) network->view->may_switch(found.policy()->permissions, &why);
  return why;
}

std::string Engine::unlisted_service(std::uint64_t number) const {
  std::lock_guard lock(mutex_);
  const Listener& found = listener(number);
  const auto* network = found.container().network();
  if (!network) return {};
  const auto policy = found.policy();
  for (const Address& address : network->view->service_addresses()) {
    if (!is_public(address) && !judge_by_lists({address, 0, 0}, *policy)) return address.text();
  }
  return {};
}

bool Engine::is_connected(const std::string& netns) {
  bool connected = true;
  control_.run([&] {
    UniqueFd fd(::open(netns.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) throw_errno("open", netns);
    connected = views_.of(Netns::of_descriptor(std::move(fd)))->is_connected_here();
  });
  return connected;
}

void Engine::forget(std::uint64_t number) {
  std::lock_guard lock(mutex_);
  auto found = listeners_.find(number);
  if (found == listeners_.end()) return;
  tunnel_policies_.erase(number);
  // After the watch, which may not have begun.
  control_.post([this, number] { tunnels_->forget(number); });
  bury(std::move(found->second));
  listeners_.erase(found);
  reap();
}

bool Engine::stop() {
  control_.run([] {});  // what was begun has ended
  const bool tunnels = tunnels_->stop(std::chrono::steady_clock::now() + kTunnelPatience);
  std::lock_guard lock(mutex_);
  for (auto& [number, entry] : listeners_) bury(std::move(entry));
  listeners_.clear();
  const auto until = std::chrono::steady_clock::now() + kPatience;
  do {
    reap();
  } while (!ending_.empty() && std::chrono::steady_clock::now() < until);
  return ending_.empty() && tunnels;
}

const Listener& Engine::listener(std::uint64_t number) const {
  auto found = listeners_.find(number);
  if (found == listeners_.end()) {
    throw std::out_of_range("no listener " + std::to_string(number));
  }
  return *found->second.listener;
}

std::shared_ptr<ContainerState> Engine::container(const std::string& key) {
  std::erase_if(containers_, [](const auto& entry) { return entry.second.expired(); });
  auto& known = containers_[key];
  if (auto state = known.lock()) return state;
  auto state = std::make_shared<ContainerState>();
  known = state;
  return state;
}

}  // namespace sockswitch
