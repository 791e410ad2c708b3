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
std::string restriction_of(const RoutingTables& tables, bool v4, int uplink) {
  const auto concerns = [v4](const Address& network, unsigned length) {
    return holds_public(network, length, v4);
  };
  return led_elsewhere(tables, v4, concerns, uplink);
}

}  // namespace

PodView::PodView(Netns netns, const std::string& helper, Watcher& watcher, ControlThread& control,
                 std::shared_ptr<NetworkView> node)
    : control_(control), node_(std::move(node)), pod_(std::move(netns), helper, watcher) {}

PacketFacts PodView::Standing::sent(const Destination& to) const {
  return {.source = out.source, .destination = to, .out = device};
}

PacketFacts PodView::Standing::forwarded(const Destination& to) const {
  return {.source = out.source, .destination = to, .in = in, .out = uplink};
}

// The pod's device, and that its packets go to the node.
PodView::End PodView::leave_pod(Standing& standing) {
  if (auto words = restriction_of(pod_.tables(), standing.v4, 0); !words.empty()) {
    return {Outcome::kRestricted, "the pod has " + words};
  }
  auto route = pod_.route({.destination = nowhere(standing.v4)});
  if (!is_usable(route)) return {Outcome::kNoRoute, "the pod has no way out"};
  if (!route->gateway) return {Outcome::kNotUplink, "the pod's default route has no gateway"};
  if (!route->source || is_link_local(*route->source) || is_loopback(*route->source)) {
    return {Outcome::kNoRoute, "the pod has no address to send from"};
  }
  standing.out = *route;
  auto link = pod_.link(route->device);
  if (!link) return {Outcome::kUnknownWay, "the pod's device cannot be looked at"};
  standing.device = {link->index, link->name};
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
  return enter_node(standing, *link);
}

// The node's device: the other end of the veth, or its bridge.
PodView::End PodView::enter_node(Standing& standing, const Link& link) {
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
                                                          .destination = {nowhere(standing.v4)},
                                                          .in = {entry->index, entry->name}})) {
      standing.filter = "in the node's namespace: " + *words;
    }
    entry = std::move(bridge);
  }
  if (!is_met_by(standing, *entry)) {
    return {Outcome::kNotUplink, "the pod's gateway " + standing.out.gateway->text() +
                                     " is no address of the node on " + entry->name +
                                     ", nor does that answer for it (proxy_arp)"};
  }
  const auto back = node.route({.destination = *standing.out.source});
  if (!is_usable(back) || back->gateway || back->device != entry->index) {
    return {Outcome::kNotUplink, "the node does not send to the pod by " + entry->name};
  }
  standing.in = {entry->index, entry->name};
  return cross_node(standing);
}

// Whether frames to the pod's gateway are the node's.
bool PodView::is_met_by(const Standing& standing, const Link& entry) {
  Namespace& node = node_->inside();
  const Address& gateway = *standing.out.gateway;
  if (node.owns(entry.index, gateway) == true) return true;
  // On a bridge other ports may answer, too. Of IPv6 a namespace answers for addresses that were
  // named one by one, and nobody asks for these.
  if (!standing.v4) return false;
  if (entry.kind != "veth" || node.answers_for_others(entry.index) != true) return false;
  const auto beyond =
      node.route({.destination = gateway, .source = standing.out.source, .in_device = entry.index});
  return is_usable(beyond) && beyond->device != entry.index;
}

PodView::End PodView::cross_node(Standing& standing) {
  Namespace& node = node_->inside();
  const Destination to{nowhere(standing.v4), 0, 0};
  auto own = node.route({.destination = to.address});
  if (!is_usable(own)) return {Outcome::kNoRoute, "the node has no way out"};
  auto through = node.route(
      {.destination = to.address, .source = standing.out.source, .in_device = standing.in.index});
  if (!is_usable(through) || !is_same(*through, *own) ||
      (!standing.v4 && node.forwards_ipv6() != true)) {
    return {Outcome::kNotUplink, "the node does not forward by its own uplink"};
  }
  auto uplink = node.link(own->device);
  if (!uplink) return {Outcome::kUnknownWay, "the node's uplink cannot be looked at"};
  const int on_link = uplink->kind == "tun" ? uplink->index : 0;
  if (auto words = restriction_of(node.tables(), standing.v4, on_link); !words.empty()) {
    return {Outcome::kRestricted, "the node has " + words};
  }
  standing.uplink = {uplink->index, uplink->name};
  auto note = [&](const char* where, const std::optional<std::string>& words) {
    if (words && standing.filter.empty()) standing.filter = where + *words;
  };
  note("in the pod's namespace: ", pod_.firewall().obstacle(standing.sent(to)));
  note("in the node's namespace: ", node.firewall().forwarding_obstacle(standing.forwarded(to)));
  if (!standing.filter.empty()) return standing.leads_on();
  const auto until = ThreadClock::now() + kEvaluation;
  for (const Prefix& block : public_blocks(standing.v4)) {
    if (ThreadClock::now() > until) {
      standing.elsewhere = "the node's rules of address translation are too many";
      break;
    }
    PacketFacts facts = standing.forwarded({});
    facts.go_anywhere_in(block);
    const Translated result = node.firewall().translate(facts);
    if (result.masqueraded && !result.may_be_sent && result.is_sure) continue;
    standing.elsewhere =
        "the node's rules of address translation may do other than masquerade packets of the pod "
        "to " +
        facts.destination.address.text() + " and others";
    break;
  }
  return standing.leads_on();
}

PodView::End PodView::Standing::leads_on() const {
  return {Outcome::kSwitched, "the pod's " + device.name + " leads to the node's " + in.name +
                                  ", which forwards by " + uplink.name};
}

// Under the lock. Forgets what another state of the two namespaces said.
PodView::Standing& PodView::stand(bool v4) {
  const auto time = Clock::now();
  if (time - looked_ >= kSilence) {
    looked_ = time;
    control_.run([&] {
      pod_.look_for_silent_changes();
      node_->inside().look_for_silent_changes();
    });
  }
  // Read before the kernel is asked: a change meanwhile makes the answer one generation too old.
  const std::uint64_t pod = pod_.generation();
  const std::uint64_t node = node_->generation();
  Standing& standing = v4 ? v4_ : v6_;
  if (standing.valid && standing.pod == pod && standing.node == node) return standing;
  standing = {.v4 = v4, .pod = pod, .node = node, .valid = true};
  control_.run([&] { standing.end = leave_pod(standing); });
  return standing;
}

PodView::End PodView::follow(const Standing& standing, const Destination& to) {
  Namespace& node = node_->inside();
  auto out = pod_.route({.destination = to.address, .port = to.port});
  if (!is_usable(out) || !is_same(*out, standing.out) || out->source != standing.out.source) {
    return {Outcome::kNoRoute, "the pod sends it elsewhere"};
  }
  auto own = node.route({.destination = to.address, .port = to.port});
  auto through = node.route({.destination = to.address,
                             .port = to.port,
                             .source = standing.out.source,
                             .in_device = standing.in.index});
  if (!is_usable(own) || !is_usable(through) || !is_same(*own, *through) ||
      own->device != standing.uplink.index) {
    return {Outcome::kNotUplink, "the node does not forward it by its own uplink"};
  }
  const Translated result = node.firewall().translate(standing.forwarded(to));
  if (!result.passes) return {Outcome::kIsolated, "the node's rules drop it"};
  if (result.may_be_sent || pod_.firewall().may_translate(standing.sent(to))) {
    return {Outcome::kTranslated, "rules of node or pod may send it elsewhere"};
  }
  if (!result.masqueraded) {
    return {Outcome::kIsolated, "the node's rules do not surely masquerade it"};
  }
  return {Outcome::kSwitched, {}};
}

std::string PodView::part_elsewhere(const Standing& standing, const Ipv4Block& listed) {
  if (auto words = led_elsewhere(pod_.tables(), listed); !words.empty()) {
    return "the pod has " + words;
  }
  Namespace& node = node_->inside();
  if (auto words = led_elsewhere(node.tables(), listed); !words.empty()) {
    return "the node has " + words;
  }
  PacketFacts facts = standing.forwarded({});
  facts.go_anywhere_in(listed.prefix());
  const Translated result = node.firewall().translate(facts);
  PacketFacts own = standing.sent({});
  own.go_anywhere_in(listed.prefix());
  if (pod_.firewall().may_translate(own)) return "the pod's rules may send packets elsewhere";
  if (result.masqueraded && !result.may_be_sent && result.is_sure) return {};
  return "the node's rules of address translation may do other than masquerade packets of the pod";
}

// Under the lock. Empty: none.
std::string PodView::obstacle_of(Standing& standing, const Ipv4Block& listed,
                                 const BlockWay& onward, int device) {
  auto found = standing.listed.find(listed);
  if (found == standing.listed.end()) {
    std::string words;
    control_.run([&] { words = part_elsewhere(standing, listed); });
    if (standing.listed.size() >= kRemembered) standing.listed.clear();
    found = standing.listed.insert_or_assign(listed, std::move(words)).first;
  }
  if (!found->second.empty()) return found->second;
  if (!onward.obstacle.empty()) return onward.obstacle;
  return onward.device == device ? std::string() : "the host's routes are changing";
}

std::string PodView::obstacle(const Ipv4Block& listed) {
  const BlockWay onward = node_->decide_block(listed);
  std::lock_guard lock(mutex_);
  Standing& standing = stand(true);
  if (standing.end.outcome != Outcome::kSwitched) return standing.end.words;
  return obstacle_of(standing, listed, onward, onward.device);
}

RouteDecision PodView::decide(const Destination& to, const std::optional<Ipv4Block>& listed,
                              const Permissions& permissions, std::string* detail) {
  auto left = [&](Outcome outcome, const std::string& words) {
    if (detail && !words.empty()) *detail += (detail->empty() ? "" : "; ") + words;
    return RouteDecision{.outcome = outcome};
  };
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
  Standing& standing = stand(to.address.is_v4());
  left(Outcome::kSwitched, standing.end.words);
  if (standing.end.outcome != Outcome::kSwitched) return {.outcome = standing.end.outcome};
  if (!permissions.ignores_firewall) {
    for (const std::string* filter : {&standing.filter, &standing.elsewhere}) {
      if (!filter->empty()) return left(Outcome::kFirewall, *filter);
    }
  }
  left(Outcome::kSwitched, words);
  if (node.outcome != Outcome::kSwitched) return {.outcome = node.outcome};
  if (listed) {
    const std::string obstacle = obstacle_of(standing, *listed, onward, node.device);
    if (!obstacle.empty()) {
      return left(Outcome::kPodNetwork,
                  "part of the listed " + listed->text() + " leads elsewhere: " + obstacle);
    }
    if (detail) *detail += "; all of the listed " + listed->text() + " goes this way";
  }
  const std::pair key{to.address, to.port};
  auto found = detail ? standing.found.end() : standing.found.find(key);
  if (found == standing.found.end()) {
    End now;
    control_.run([&] { now = follow(standing, to); });
    if (standing.found.size() >= kRemembered) standing.found.clear();
    found = standing.found.insert_or_assign(key, std::move(now)).first;
  }
  if (found->second.outcome != Outcome::kSwitched) {
    return left(found->second.outcome, found->second.words);
  }
  if (permissions.ignores_firewall && !standing.filter.empty()) {
    left(Outcome::kSwitched,
         "packet filters are waived, network policies included (sockswitch/firewall=ignore): " +
             standing.filter);
  }
  return {.outcome = Outcome::kSwitched,
          .device = node.device,
          .source = node.source,
          .one_family = true};
}

}  // namespace sockswitch
