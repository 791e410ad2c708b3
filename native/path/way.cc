#include "path/way.h"

#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <map>

#include "path/block_routes.h"

namespace sockswitch {
namespace {

using Words = std::vector<std::string>;

std::string by(const FoundRoute& route) {
  return route.gateway ? " over " + route.gateway->text() : ", on-link";
}

// Follows one packet. Each step either goes on or says where the way ends.
class Follower {
 public:
  Follower(const Ground& ground, Words* words) : ground_(ground), words_(words) {}

  // Where packets leave that go by `device` to `gateway`, seen from the container: a fallback
  // program's tap, here or behind a bridge.
  struct Exit {
    std::shared_ptr<const FallbackProgram> program;  // null: none, `end` says why
    Way end;
    Link device{};                // the container's
    Namespace* shared = nullptr;  // the bridges' namespace, where the way leads through one
    Link bridge{};                // there
  };
  // `to`: where they are for.
  Exit exit_by(int device, const std::optional<Address>& gateway, const Address& to);

  Way follow(const RoutedPacket& packet);
  Way leads_out(const RoutedPacket& packet);
  BlockWay follow(const Ipv4Block& block);

 private:
  struct Inside {
    FoundRoute route;
    Way end;  // where there is no route to go on with
    bool found = false;
  };
  Inside leave_container(const RoutedPacket& packet);
  // What packet filters of the container's namespace make of it: adds to `way`.
  void filter(const RoutedPacket& packet, const FoundRoute& route, const Link& device, Way& way);
  // From the bridge on: what the shared namespace does with the packet.
  Way cross_bridge(const Exit& exit, const RoutedPacket& packet, FoundRoute& route);
  Way leave_host(const FallbackProgram& program, const RoutedPacket& packet,
                 const FoundRoute& route, Namespace& at);
  std::optional<Way> leave_link(const Link& link, const Address& next_hop);
  Exit tap(Namespace& at, const Link& link, const std::optional<Address>& gateway);
  Way forward(Namespace& shared, const RoutedPacket& packet, const Link& bridge, const Link& tap);
  Exit bridge(const Link& link, const std::optional<Address>& gateway);
  std::optional<Way> unknown_tables(Namespace& at, bool v4, const char* whose);

  void say(std::string text) {
    if (words_) words_->push_back(std::move(text));
  }
  Way end(Outcome outcome, std::string text) {
    say(std::move(text));
    return {.outcome = outcome};
  }
  Way not_now() {
    say("the network is changing, ask again");
    return {.outcome = Outcome::kUnknownWay, .settled = false};
  }

  const Ground& ground_;
  Words* words_;
};

// Whether a frame goes from the device to whoever has the next hop's address; where it ends, if
// not.
std::optional<Way> Follower::leave_link(const Link& link, const Address& next_hop) {
  if (link.master != 0) {
    return end(Outcome::kNotUplink, link.name + " is a port of another device of the container");
  }
  if (!link.resolves) {
    return end(Outcome::kNotUplink, link.name + " resolves no addresses (arp off)");
  }
  const auto fixed = ground_.inside.has_fixed_neighbour(link.index, next_hop);
  if (!fixed) {
    return end(Outcome::kUnknownWay, "the neighbour entry of " + next_hop.text() + " on " +
                                         link.name + " cannot be read");
  }
  if (*fixed) {
    return end(Outcome::kNotUplink, "the neighbour entry of " + next_hop.text() + " on " +
                                        link.name + " was set, to another machine perhaps");
  }
  return {};
}

Follower::Exit Follower::tap(Namespace& at, const Link& link,
                             const std::optional<Address>& gateway) {
  auto held = ground_.around.holder(at, link.name);
  if (held.program && gateway && !held.program->options.answers_for(*gateway)) {
    return {.program = nullptr,
            .end = end(Outcome::kNotUplink, std::string(fallback_name(held.program->kind)) +
                                                " does not answer for the next hop " +
                                                gateway->text())};
  }
  if (held.program) return {.program = held.program, .end = {}, .device = link};
  if (held.settled) {
    return {.program = nullptr,
            .end = end(Outcome::kNotUplink,
                       link.name + " is a tun or tap device that no pasta or slirp4netns holds")};
  }
  say("when processes were last looked at, a moment ago, no pasta or slirp4netns held the device " +
      link.name + ": ask again");
  return {.program = nullptr, .end = {.outcome = Outcome::kUnknownWay, .settled = false}};
}

Follower::Exit Follower::bridge(const Link& link, const std::optional<Address>& gateway) {
  bool settled = true;
  for (const auto& candidate : ground_.around.bridged(ground_.inside, settled)) {
    Namespace& shared = *candidate.inside;
    if (shared.identity() == ground_.inside.identity()) continue;
    if (ground_.inside.number(shared) != link.peer_netns) continue;
    auto port = shared.link(link.peer);
    auto bridge = port && port->master != 0 ? shared.link(port->master) : std::nullopt;
    if (!bridge || bridge->kind != "bridge") {
      return {.program = nullptr,
              .end = end(Outcome::kNotUplink,
                         "the other end of " + link.name + " is no port of a bridge of Podman's")};
    }
    if (!gateway) {
      return {.program = nullptr,
              .end = end(Outcome::kOnLink, "on-link on Podman's bridge " + bridge->name)};
    }
    auto owned = shared.owns(bridge->index, *gateway);
    if (!owned) {
      return {.program = nullptr,
              .end = end(Outcome::kUnknownWay,
                         "the addresses of the bridge " + bridge->name + " cannot be read")};
    }
    if (!*owned) {
      return {.program = nullptr,
              .end = end(Outcome::kNotUplink, "the next hop " + gateway->text() +
                                                  " is not the bridge " + bridge->name +
                                                  ": another container, or nobody")};
    }
    say("the other end of " + link.name + " is a port of Podman's bridge " + bridge->name);
    return {.program = candidate.program,
            .end = {},
            .device = link,
            .shared = &shared,
            .bridge = std::move(*bridge)};
  }
  if (!settled) return {.program = nullptr, .end = not_now()};
  return {.program = nullptr,
          .end = end(Outcome::kNotUplink, "the other end of " + link.name +
                                              " is not in the namespace of Podman's bridges")};
}

Follower::Exit Follower::exit_by(int device, const std::optional<Address>& gateway,
                                 const Address& to) {
  auto link = ground_.inside.link(device);
  if (!link) {
    return {.program = nullptr,
            .end = end(Outcome::kUnknownWay, "the container's device number " +
                                                 std::to_string(device) + " cannot be looked at")};
  }
  if (auto elsewhere = leave_link(*link, gateway.value_or(to))) {
    return {.program = nullptr, .end = std::move(*elsewhere)};
  }
  if (link->kind == "tun") return tap(ground_.inside, *link, gateway);
  if (link->kind == "veth" && link->peer_netns) return bridge(*link, gateway);
  return {.program = nullptr,
          .end = end(Outcome::kNotUplink, link->name + " is a device of the container's own" +
                                              (link->kind.empty() ? "" : " (" + link->kind + ")"))};
}

std::optional<Way> Follower::unknown_tables(Namespace& at, bool v4, const char* whose) {
  const RoutingTables& tables = at.tables();
  if (!tables.unknown.empty()) return end(Outcome::kUnknownWay, whose + (": " + tables.unknown));
  const RuleSelectors& rules = tables.rules(v4);
  if (!rules.unknown.empty()) {
    return end(Outcome::kUnknownWay,
               whose + (" has a routing rule that cannot be followed: " + rules.unknown));
  }
  for (const FoundRoute& route : tables.routes) {
    if (route.tos == 0 || route.v4 != v4) continue;
    return end(Outcome::kUnknownWay,
               whose + (" has a route by type of service: " + route.prefix_text()));
  }
  return {};
}

Follower::Inside Follower::leave_container(const RoutedPacket& packet) {
  bool v4 = packet.destination.is_v4();
  Namespace& inside = ground_.inside;
  if (auto unknown = unknown_tables(inside, v4, "the container")) {
    return {.route = {}, .end = std::move(*unknown)};
  }
  auto route = inside.route(packet);
  if (route && route->type == RTN_LOCAL) {
    return {.route = {},
            .end = end(Outcome::kContainerAddress,
                       packet.destination.text() + " is local to the container")};
  }
  // The kernel routes a socket that is not bound twice: the second time with the source address
  // that the first one gave.
  RoutedPacket asked = packet;
  if (route && route->source && inside.tables().rules(v4).source) {
    asked.source = route->source;
    route = inside.route(asked);
  }
  if (!route || route->type != RTN_UNICAST) {
    return {.route = {},
            .end = end(Outcome::kNoRoute,
                       packet.destination == nowhere(v4)
                           ? std::string("the container has no way out")
                           : "the container has no route to " + packet.destination.text())};
  }
  auto entry = inside.entry(asked);
  if (!entry || !entry->strange.empty() || !route->strange.empty()) {
    std::string what = !entry
                           ? "its table's entry cannot be read"
                           : "it has " + (entry->strange.empty() ? route->strange : entry->strange);
    return {
        .route = {},
        .end = end(Outcome::kUnknownWay, "the container's route to " + packet.destination.text() +
                                             " cannot be followed: " + what)};
  }
  // A container that has lost its addresses sends with those of its link or loopback.
  if (!route->source || is_link_local(*route->source) || is_loopback(*route->source)) {
    return {.route = {},
            .end = end(Outcome::kNoRoute, "the container has no address to send from")};
  }
  return {.route = std::move(*route), .end = {}, .found = true};
}

Way Follower::cross_bridge(const Exit& exit, const RoutedPacket& packet, FoundRoute& route) {
  Namespace& shared = *exit.shared;
  bool v4 = packet.destination.is_v4();
  if (auto unknown = unknown_tables(shared, v4, "the namespace of Podman's bridges")) {
    return *unknown;
  }
  RoutedPacket forwarded{.destination = packet.destination,
                         .port = packet.port,
                         .source = route.source,
                         .in_device = exit.bridge.index};
  auto next = shared.route(forwarded);
  if (!next || next->type != RTN_UNICAST || !next->strange.empty()) {
    return end(Outcome::kNoRoute, "the namespace of Podman's bridges forwards nothing to " +
                                      packet.destination.text());
  }
  auto link = shared.link(next->device);
  if (!link || link->kind != "tun") {
    return end(Outcome::kNotUplink, "the namespace of Podman's bridges forwards it elsewhere" +
                                        (link ? ", by " + link->name : std::string()));
  }
  Exit held = tap(shared, *link, next->gateway);
  if (!held.program) return held.end;
  route = std::move(*next);
  return forward(shared, forwarded, exit.bridge, *link);
}

Way Follower::forward(Namespace& shared, const RoutedPacket& packet, const Link& bridge,
                      const Link& tap) {
  using Verdict = Forwarded::Verdict;
  Forwarded forwarded =
      shared.firewall().forwarded({.source = packet.source,
                                   .destination = {packet.destination, packet.port, 0},
                                   .in = {bridge.index, bridge.name},
                                   .out = {tap.index, tap.name}});
  std::string where = "in the namespace of Podman's bridges: " + forwarded.words;
  switch (forwarded.verdict) {
    case Verdict::kPasses:
      return {.outcome = Outcome::kSwitched};
    case Verdict::kBlocked:
      return end(Outcome::kIsolated, where);
    case Verdict::kForeign:
      return end(Outcome::kFirewall, where);
    case Verdict::kUnknown:
      break;
  }
  return end(Outcome::kUnknownWay, where);
}

void Follower::filter(const RoutedPacket& packet, const FoundRoute& route, const Link& device,
                      Way& way) {
  PacketFacts facts{.source = route.source,
                    .destination = {packet.destination, packet.port, 0},
                    .out = {device.index, device.name},
                    .uid = packet.uid};
  const Firewall& firewall = ground_.inside.firewall();
  auto obstacle = firewall.obstacle(facts);
  if (!obstacle) return;
  way.filtered = true;
  way.filter = "in the container's namespace: " + *obstacle;
  way.translated = firewall.may_translate(facts);
}

Way Follower::leave_host(const FallbackProgram& program, const RoutedPacket& packet,
                         const FoundRoute& route, Namespace& at) {
  bool v4 = packet.destination.is_v4();
  const FallbackOptions::Family& family = v4 ? program.options.v4 : program.options.v6;
  std::string name(fallback_name(program.kind));
  if (!family.obstacle.empty()) return end(Outcome::kFallbackOption, family.obstacle);
  bool near = family.maps_gateway && (!route.gateway || ground_.host.is_near(packet.destination));
  for (const Prefix& own : program.options.own) near = near || own.contains(packet.destination);
  if (near) {
    return end(Outcome::kFallbackAddress,
               name + " answers or maps " + packet.destination.text() + " itself");
  }
  RoutedPacket outside{
      .destination = packet.destination, .port = packet.port, .source = family.source};
  auto leaving = ground_.host.route(outside);
  if (!leaving || leaving->type != RTN_UNICAST) {
    return end(Outcome::kNoHostRoute, "no route to " + packet.destination.text() + " on the host");
  }
  char device[IF_NAMESIZE] = "";
  if (!::if_indextoname(static_cast<unsigned>(leaving->device), device)) {
    return end(Outcome::kNoHostRoute, "the host's device has just gone");
  }
  if (!family.device.empty() && family.device != device) {
    return end(Outcome::kFallbackOption,
               name + " sends by " + family.device + ", the host's routes by " + device);
  }
  if (!route.gateway) {
    auto link_inside = at.entry({.destination = packet.destination, .port = packet.port});
    auto link_outside = ground_.host.entry(outside);
    bool same = program.options.copies_host_addresses && !leaving->gateway && link_inside &&
                link_outside && link_inside->prefix_text() == link_outside->prefix_text();
    if (!same) {
      return end(Outcome::kOnLink,
                 "on-link before " + name +
                     (link_inside ? " (" + link_inside->prefix_text() + ")" : std::string()) +
                     ", not so on the host");
    }
  }
  say("the host sends it by " + std::string(device) + by(*leaving));
  return {.outcome = Outcome::kSwitched, .device = leaving->device, .source = family.source};
}

Way Follower::follow(const RoutedPacket& packet) {
  Inside inside = leave_container(packet);
  if (!inside.found) return inside.end;
  FoundRoute route = std::move(inside.route);
  auto is_gateway = [&](const FoundRoute& known) {
    return known.prefix_length == 0 && known.gateway == packet.destination;
  };
  if (std::ranges::any_of(ground_.inside.tables().routes, is_gateway)) {
    return end(Outcome::kGateway, packet.destination.text() + " is the container's gateway");
  }
  auto outside = ground_.host.route({.destination = packet.destination, .port = packet.port});
  if (outside && outside->type == RTN_LOCAL) {
    return end(Outcome::kHostAddress, packet.destination.text() + " is local to the host");
  }
  Exit exit = exit_by(route.device, route.gateway, packet.destination);
  if (!exit.program) return exit.end;
  FoundRoute onward = route;
  if (exit.shared) {
    Way crossed = cross_bridge(exit, packet, onward);
    if (crossed.outcome != Outcome::kSwitched) return crossed;
  }
  say("the tap is held by " + std::string(fallback_name(exit.program->kind)) + ", process " +
      std::to_string(exit.program->pid));
  Way way = leave_host(*exit.program, packet, onward, exit.shared ? *exit.shared : ground_.inside);
  if (way.outcome == Outcome::kSwitched) filter(packet, route, exit.device, way);
  return way;
}

Way Follower::leads_out(const RoutedPacket& packet) {
  Inside inside = leave_container(packet);
  if (!inside.found) return inside.end;
  Exit exit = exit_by(inside.route.device, inside.route.gateway, packet.destination);
  if (!exit.program) return exit.end;
  FoundRoute onward = inside.route;
  if (exit.shared) {
    Way crossed = cross_bridge(exit, packet, onward);
    if (crossed.outcome != Outcome::kSwitched) return crossed;
  }
  const FallbackOptions& options = exit.program->options;
  const auto& family = packet.destination.is_v4() ? options.v4 : options.v6;
  if (!family.obstacle.empty()) return end(Outcome::kFallbackOption, family.obstacle);
  Way way{.outcome = Outcome::kSwitched};
  filter(packet, inside.route, exit.device, way);
  return way;
}

BlockWay Follower::follow(const Ipv4Block& block) {
  const auto left = [&](const std::string& words) { return BlockWay{.obstacle = words}; };
  const RoutedPacket packet{.destination = nowhere(true)};
  Inside inside = leave_container(packet);
  if (!inside.found) return left("no way out");
  Exit exit = exit_by(inside.route.device, inside.route.gateway, packet.destination);
  if (!exit.program) return {.obstacle = "no way out", .settled = exit.end.settled};
  Namespace& at = exit.shared ? *exit.shared : ground_.inside;
  if (exit.shared) {
    const std::string where = "in the namespace of Podman's bridges: ";
    FoundRoute onward = inside.route;
    const Way crossed = cross_bridge(exit, packet, onward);
    if (crossed.outcome != Outcome::kSwitched) {
      return {.obstacle = where + "no way out", .settled = crossed.settled};
    }
    if (auto words = led_elsewhere(at.tables(), block); !words.empty()) return left(where + words);
    const auto tap = at.link(onward.device);
    PacketFacts facts{.source = inside.route.source,
                      .in = {exit.bridge.index, exit.bridge.name},
                      .out = {onward.device, tap ? tap->name : std::string()}};
    facts.go_anywhere_in(block.prefix());
    const Forwarded forwarded = at.firewall().forwarded(facts);
    if (forwarded.verdict != Forwarded::Verdict::kPasses) return left(where + forwarded.words);
  }
  const FallbackOptions& options = exit.program->options;
  const std::string name(fallback_name(exit.program->kind));
  if (!options.v4.obstacle.empty()) return left(options.v4.obstacle);
  for (const Prefix& own : options.own) {
    const auto taken = parse_ipv4_block(own.text());
    if (taken && overlap(*taken, block)) return left(name + " answers " + own.text() + " itself");
  }
  const RoutingTables outside = ground_.host.tables();
  if (options.v4.maps_gateway) {
    for (const RoutingTables* tables : {&outside, &at.tables()}) {
      if (auto words = near_part(*tables, block); !words.empty()) {
        words.insert(0, name + " may lead to the host's loopback what is in ");
        return left(words);
      }
    }
  }
  BlockRoute route = route_of_block(outside, block);
  if (!route.obstacle.empty()) return left("the host has " + route.obstacle);
  return {.obstacle = {}, .device = route.device};
}

}  // namespace

const Address& nowhere(bool v4) {
  static const Address kV4 = *Address::parse("192.0.2.1");
  static const Address kV6 = *Address::parse("2001:db8::1");
  return v4 ? kV4 : kV6;
}

Way follow(const Ground& ground, const RoutedPacket& packet, std::vector<std::string>* words) {
  return Follower(ground, words).follow(packet);
}

Way leads_out(const Ground& ground, bool v4, std::vector<std::string>* words) {
  return Follower(ground, words).leads_out({.destination = nowhere(v4)});
}

BlockWay follow_block(const Ground& ground, const Ipv4Block& block) {
  return Follower(ground, nullptr).follow(block);
}

std::string restriction(const Ground& ground, bool& settled) {
  const RoutingTables& tables = ground.inside.tables();
  if (!tables.unknown.empty()) return tables.unknown;
  if (!tables.v4.plain || !tables.v6.plain) return "routing rules";
  Follower follower(ground, nullptr);
  std::map<std::pair<int, Address>, bool> exits;  // by device and gateway: whether it is one
  struct Family {
    bool leads_on = false;  // has a route with a gateway
    bool has_default = false;
  };
  std::map<bool, Family> families;
  for (const FoundRoute& route : tables.routes) {
    if (route.type != RTN_UNICAST) return "a route that refuses " + route.prefix_text();
    if (!route.strange.empty())
      return "a route to " + route.prefix_text() + " with " + route.strange;
    if (!route.gateway) continue;
    auto [known, is_new] = exits.try_emplace({route.device, *route.gateway}, false);
    if (is_new) {
      auto exit = follower.exit_by(route.device, route.gateway, *route.gateway);
      settled = settled && exit.end.settled;
      known->second = exit.program != nullptr;
    }
    if (!known->second) return route.prefix_text() + " over " + route.gateway->text();
    families[route.v4].leads_on = true;
    if (route.prefix_length == 0) families[route.v4].has_default = true;
  }
  for (const auto& [v4, family] : families) {
    if (family.leads_on && !family.has_default) {
      return std::string(v4 ? "IPv4" : "IPv6") + " routes to some networks only";
    }
  }
  return {};
}

}  // namespace sockswitch
