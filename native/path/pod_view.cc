#include "path/pod_view.h"

#include <linux/rtnetlink.h>

#include "base/public_address.h"
#include "kernel/thread_clock.h"
#include "path/block_routes.h"

namespace sockswitch {
namespace {

// Bounds on memory and time.
constexpr std::size_t kRemembered = 4096;
constexpr std::chrono::seconds kSilence{1};
constexpr std::chrono::milliseconds kEvaluation{50};

bool is_usable(const std::optional<FoundRoute>& route) {
  return route && route->type == RTN_UNICAST && route->strange.empty();
}

bool is_same(const FoundRoute& left, const FoundRoute& right) {
  return left.device == right.device && left.gateway == right.gateway;
}

// What may lead some packets to public addresses elsewhere.
std::string restriction_of(const RoutingTables& tables, int uplink) {
  return led_elsewhere(tables, holds_public_ipv4, uplink);
}

}  // namespace

PodView::PodView(Netns netns, const std::string& helper, Watcher& watcher, ControlThread& control,
                 std::shared_ptr<NetworkView> node)
    : control_(control), node_(std::move(node)), pod_(std::move(netns), helper, watcher) {}

PacketFacts PodView::sent(const Destination& to) const {
  return {.source = standing_.out.source, .destination = to, .out = standing_.device};
}

PacketFacts PodView::forwarded(const Destination& to) const {
  return {.source = standing_.out.source,
          .destination = to,
          .in = standing_.in,
          .out = standing_.uplink};
}

// The pod's device, and that its packets go to the node.
PodView::End PodView::leave_pod() {
  if (auto words = restriction_of(pod_.tables(), 0); !words.empty()) {
    return {Outcome::kRestricted, "the pod has " + words};
  }
  auto route = pod_.route({.destination = nowhere(true)});
  if (!is_usable(route)) return {Outcome::kNoRoute, "the pod has no way out"};
  if (!route->gateway) return {Outcome::kNotUplink, "the pod's default route has no gateway"};
  if (!route->source || is_link_local(*route->source) || is_loopback(*route->source)) {
    return {Outcome::kNoRoute, "the pod has no address to send from"};
  }
  standing_.out = *route;
  auto link = pod_.link(route->device);
  if (!link) return {Outcome::kUnknownWay, "the pod's device cannot be looked at"};
  standing_.device = {link->index, link->name};
  if (link->kind != "veth" || !link->peer_netns || link->master != 0 || !link->resolves ||
      !link->up) {
    return {Outcome::kNotUplink, "the pod's " + link->name + " is no veth out of the pod, or down"};
  }
  if (pod_.has_fixed_neighbour(link->index, *route->gateway) != false) {
    return {Outcome::kNotUplink, "the pod's neighbour entry of " + route->gateway->text() +
                                     " was set, or cannot be read"};
  }
  if (pod_.number(node_->inside()) != link->peer_netns) {
    return {Outcome::kNotUplink,
            "the other end of the pod's " + link->name + " is not in the node's namespace"};
  }
  return enter_node(*link);
}

// The node's device: the other end of the veth, or its bridge.
PodView::End PodView::enter_node(const Link& link) {
  Namespace& node = node_->inside();
  auto entry = node.link(link.peer);
  if (!entry || entry->kind != "veth" || !entry->up) {
    return {Outcome::kNotUplink, "the node's end of the pod's veth is down, or cannot be seen"};
  }
  if (entry->master != 0) {
    auto bridge = node.link(entry->master);
    if (!bridge || bridge->kind != "bridge" || bridge->master != 0 || !bridge->up) {
      return {Outcome::kNotUplink, "the node's " + entry->name + " is a port of no bridge"};
    }
    if (!entry->forwards || bridge->filters_vlans) {
      return {Outcome::kUnknownWay, "the node's bridge " + bridge->name + " filters frames"};
    }
    if (auto words = node.firewall().forwarding_obstacle({.source = {},
                                                          .destination = {nowhere(true), 0, 0},
                                                          .in = {entry->index, entry->name}})) {
      standing_.filter = "in the node's namespace: " + *words;
    }
    entry = std::move(bridge);
  }
  if (!is_met_by(*entry)) {
    return {Outcome::kNotUplink, "the pod's gateway " + standing_.out.gateway->text() +
                                     " is no address of the node on " + entry->name +
                                     ", nor does that answer for it (proxy_arp)"};
  }
  const auto back = node.route({.destination = *standing_.out.source});
  if (!is_usable(back) || back->gateway || back->device != entry->index) {
    return {Outcome::kNotUplink, "the node does not send to the pod by " + entry->name};
  }
  standing_.in = {entry->index, entry->name};
  return cross_node();
}

// Whether frames to the pod's gateway are the node's.
bool PodView::is_met_by(const Link& entry) {
  Namespace& node = node_->inside();
  const Address& gateway = *standing_.out.gateway;
  if (node.owns(entry.index, gateway) == true) return true;
  // On a bridge other ports may answer, too.
  if (entry.kind != "veth" || node.answers_for_others(entry.index) != true) return false;
  const auto beyond = node.route(
      {.destination = gateway, .source = standing_.out.source, .in_device = entry.index});
  return is_usable(beyond) && beyond->device != entry.index;
}

PodView::End PodView::cross_node() {
  Namespace& node = node_->inside();
  const Destination to{nowhere(true), 0, 0};
  auto own = node.route({.destination = to.address});
  if (!is_usable(own)) return {Outcome::kNoRoute, "the node has no way out"};
  auto through = node.route(
      {.destination = to.address, .source = standing_.out.source, .in_device = standing_.in.index});
  if (!is_usable(through) || !is_same(*through, *own)) {
    return {Outcome::kNotUplink, "the node does not forward by its own uplink"};
  }
  auto uplink = node.link(own->device);
  if (!uplink) return {Outcome::kUnknownWay, "the node's uplink cannot be looked at"};
  const int on_link = uplink->kind == "tun" ? uplink->index : 0;
  if (auto words = restriction_of(node.tables(), on_link); !words.empty()) {
    return {Outcome::kRestricted, "the node has " + words};
  }
  standing_.uplink = {uplink->index, uplink->name};
  auto note = [&](const char* where, const std::optional<std::string>& words) {
    if (words && standing_.filter.empty()) standing_.filter = where + *words;
  };
  note("in the pod's namespace: ", pod_.firewall().obstacle(sent(to)));
  note("in the node's namespace: ", node.firewall().forwarding_obstacle(forwarded(to)));
  if (!standing_.filter.empty()) return leads_on();
  const auto until = ThreadClock::now() + kEvaluation;
  for (const Ipv4Block& block : public_ipv4()) {
    if (ThreadClock::now() > until) {
      standing_.elsewhere = "the node's rules of address translation are too many";
      break;
    }
    PacketFacts facts = forwarded({Address::from_v4(in_addr{htonl(block.network)}), 0, 0});
    facts.known_destination = block.mask;
    const Translated result = node.firewall().translate(facts);
    if (result.masqueraded && !result.may_be_sent && result.is_sure) continue;
    standing_.elsewhere =
        "the node's rules of address translation may do other than masquerade packets of the pod "
        "to " +
        facts.destination.address.text() + " and others";
    break;
  }
  return leads_on();
}

PodView::End PodView::leads_on() const {
  return {Outcome::kSwitched, "the pod's " + standing_.device.name + " leads to the node's " +
                                  standing_.in.name + ", which forwards by " +
                                  standing_.uplink.name};
}

// Under the lock. Forgets what another state of the two namespaces said.
void PodView::stand() {
  const auto time = Clock::now();
  if (time - standing_.looked >= kSilence) {
    standing_.looked = time;
    control_.run([&] {
      pod_.look_for_silent_changes();
      node_->inside().look_for_silent_changes();
    });
  }
  // Read before the kernel is asked: a change meanwhile makes the answer one generation too old.
  const std::uint64_t pod = pod_.generation();
  const std::uint64_t node = node_->generation();
  if (standing_.valid && standing_.pod == pod && standing_.node == node) return;
  found_.clear();
  standing_ = {.pod = pod, .node = node, .valid = true, .looked = standing_.looked};
  control_.run([&] { standing_.end = leave_pod(); });
}

PodView::End PodView::follow(const Destination& to) {
  Namespace& node = node_->inside();
  auto out = pod_.route({.destination = to.address, .port = to.port});
  if (!is_usable(out) || !is_same(*out, standing_.out) || out->source != standing_.out.source) {
    return {Outcome::kNoRoute, "the pod sends it elsewhere"};
  }
  auto own = node.route({.destination = to.address, .port = to.port});
  auto through = node.route({.destination = to.address,
                             .port = to.port,
                             .source = standing_.out.source,
                             .in_device = standing_.in.index});
  if (!is_usable(own) || !is_usable(through) || !is_same(*own, *through)) {
    return {Outcome::kNotUplink, "the node does not forward it by its own uplink"};
  }
  const Translated result = node.firewall().translate(forwarded(to));
  if (!result.passes) return {Outcome::kIsolated, "the node's rules drop it"};
  if (result.may_be_sent || pod_.firewall().may_translate(sent(to))) {
    return {Outcome::kTranslated, "rules of node or pod may send it elsewhere"};
  }
  if (!result.masqueraded) {
    return {Outcome::kIsolated, "the node's rules do not surely masquerade it"};
  }
  return {Outcome::kSwitched, {}};
}

std::string PodView::part_elsewhere(const Ipv4Block& listed) {
  if (auto words = led_elsewhere(pod_.tables(), listed); !words.empty()) {
    return "the pod has " + words;
  }
  Namespace& node = node_->inside();
  if (auto words = led_elsewhere(node.tables(), listed); !words.empty()) {
    return "the node has " + words;
  }
  PacketFacts facts = forwarded({Address::from_v4(in_addr{htonl(listed.network)}), 0, 0});
  facts.known_destination = listed.mask;
  const Translated result = node.firewall().translate(facts);
  PacketFacts own = sent(facts.destination);
  own.known_destination = listed.mask;
  if (pod_.firewall().may_translate(own)) return "the pod's rules may send packets elsewhere";
  if (result.masqueraded && !result.may_be_sent && result.is_sure) return {};
  return "the node's rules of address translation may do other than masquerade packets of the pod";
}

// Under the lock. Empty: none.
std::string PodView::obstacle_of(const Ipv4Block& listed, const BlockWay& onward, int device) {
  auto found = standing_.listed.find(listed);
  if (found == standing_.listed.end()) {
    std::string words;
    control_.run([&] { words = part_elsewhere(listed); });
    if (standing_.listed.size() >= kRemembered) standing_.listed.clear();
    found = standing_.listed.insert_or_assign(listed, std::move(words)).first;
  }
  if (!found->second.empty()) return found->second;
  if (!onward.obstacle.empty()) return onward.obstacle;
  return onward.device == device ? std::string() : "the host's routes are changing";
}

std::string PodView::obstacle(const Ipv4Block& listed) {
  const BlockWay onward = node_->decide_block(listed);
  std::lock_guard lock(mutex_);
  stand();
  if (standing_.end.outcome != Outcome::kSwitched) return standing_.end.words;
  return obstacle_of(listed, onward, onward.device);
}

RouteDecision PodView::decide(const Destination& to, const std::optional<Ipv4Block>& listed,
                              const Permissions& permissions, std::string* detail) {
  auto left = [&](Outcome outcome, const std::string& words) {
    if (detail && !words.empty()) *detail += (detail->empty() ? "" : "; ") + words;
    return RouteDecision{.outcome = outcome};
  };
  if (!to.address.is_v4()) return left(Outcome::kUnknownWay, "IPv6 of pods is not followed");
  if (!permissions.network_admin) {
    return left(Outcome::kRestricted, "the container may not change its own network");
  }
  control_.run([&] {
    pod_.look_for_reported_changes();
    node_->inside().look_for_reported_changes();
  });
  // The node's own packet passes its OUTPUT chains, which forwarded ones do not.
  const Permissions own{.network_admin = true, .ignores_firewall = true};
  std::string words;
  const RouteDecision node = detail ? node_->explain(to, own, words) : node_->decide(to, -1, own);
  const BlockWay onward = listed ? node_->decide_block(*listed) : BlockWay{};
  std::lock_guard lock(mutex_);
  stand();
  left(Outcome::kSwitched, standing_.end.words);
  if (standing_.end.outcome != Outcome::kSwitched) return {.outcome = standing_.end.outcome};
  if (!permissions.ignores_firewall) {
    for (const std::string* filter : {&standing_.filter, &standing_.elsewhere}) {
      if (!filter->empty()) return left(Outcome::kFirewall, *filter);
    }
  }
  left(Outcome::kSwitched, words);
  if (node.outcome != Outcome::kSwitched) return {.outcome = node.outcome};
  if (listed) {
    const std::string obstacle = obstacle_of(*listed, onward, node.device);
    if (!obstacle.empty()) {
      return left(Outcome::kPodNetwork,
                  "part of the listed " + listed->text() + " leads elsewhere: " + obstacle);
    }
    if (detail) *detail += "; all of the listed " + listed->text() + " goes this way";
  }
  const std::pair key{to.address, to.port};
  auto found = detail ? found_.end() : found_.find(key);
  if (found == found_.end()) {
    End now;
    control_.run([&] { now = follow(to); });
    if (found_.size() >= kRemembered) found_.clear();
    found = found_.insert_or_assign(key, std::move(now)).first;
  }
  if (found->second.outcome != Outcome::kSwitched) {
    return left(found->second.outcome, found->second.words);
  }
  if (permissions.ignores_firewall && !standing_.filter.empty()) {
    left(Outcome::kSwitched,
         "packet filters are waived, network policies included (sockswitch/firewall=ignore): " +
             standing_.filter);
  }
  return {.outcome = Outcome::kSwitched,
          .device = node.device,
          .source = node.source,
          .one_family = true};
}

}  // namespace sockswitch
