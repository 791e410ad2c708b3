#include "path/block_routes.h"

#include <linux/rtnetlink.h>

#include <algorithm>

namespace sockswitch {
namespace {

Ipv4Block block_of(const FoundRoute& route) {
  return ipv4_block(route.network.is_v4() ? route.network.v4() : 0, route.prefix_length);
}

// Of one that TCP meets: what it has that nobody follows; empty: nothing.
std::string oddity(const FoundRoute& route) {
  const std::string prefix = route.prefix_text();
  if (route.type != RTN_UNICAST) return "a route that refuses " + prefix;
  if (!route.strange.empty()) return "a route to " + prefix + " with " + route.strange;
  if (route.tos != 0) return "a route by type of service to " + prefix;
  if (route.source_length != 0) return "a route by source address to " + prefix;
  return {};
}

std::string unreadable(const RoutingTables& tables, bool v4) {
  if (!tables.unknown.empty()) return tables.unknown;
  if (!tables.rules(v4).unknown.empty()) return tables.rules(v4).unknown;
  if (!tables.rules(v4).plain) return "routing rules";
  return {};
}

std::string own_part(const RoutingTables& tables, const Ipv4Block& block) {
  for (const FoundRoute& own : tables.own) {
    if (own.v4 && is_met(own) && overlap(block_of(own), block)) {
      return "the own address " + own.prefix_text();
    }
  }
  return {};
}

}  // namespace

bool is_met(const FoundRoute& route) {
  return route.table == RT_TABLE_LOCAL || route.table == RT_TABLE_MAIN ||
         route.table == RT_TABLE_DEFAULT;
}

std::string led_elsewhere(const RoutingTables& tables, bool v4, const Concerns& concerns,
                          int on_link) {
  if (auto words = unreadable(tables, v4); !words.empty()) return words;
  unsigned defaults = 0;
  for (const FoundRoute& route : tables.routes) {
    if (!is_met(route)) continue;
    if (route.v4 != v4 || !concerns(route.network, route.prefix_length)) continue;
    if (auto words = oddity(route); !words.empty()) return words;
    if (!v4 && route.prefix_length == 0 && ++defaults > 1) return "several default routes";
    const bool fits = route.gateway ? route.prefix_length == 0 : route.device == on_link;
    if (!fits) return "a route to " + route.prefix_text();
  }
  return {};
}

std::string led_elsewhere(const RoutingTables& tables, const Ipv4Block& block) {
  const auto concerns = [&](const Address& network, unsigned length) {
    return overlap(ipv4_block(network.is_v4() ? network.v4() : 0, length), block);
  };
  if (auto words = led_elsewhere(tables, true, concerns, 0); !words.empty()) return words;
  return own_part(tables, block);
}

BlockRoute route_of_block(const RoutingTables& tables, const Ipv4Block& block) {
  if (auto words = unreadable(tables, true); !words.empty()) return {.obstacle = std::move(words)};
  if (auto words = own_part(tables, block); !words.empty()) return {.obstacle = std::move(words)};
  // What holds all of it: the longest, and of these the first that the kernel takes.
  const FoundRoute* whole = nullptr;
  const auto is_better = [&](const FoundRoute& route) {
    if (!whole || route.prefix_length != whole->prefix_length) {
      return !whole || route.prefix_length > whole->prefix_length;
    }
    return route.priority < whole->priority;
  };
  for (const FoundRoute& route : tables.routes) {
    if (!route.v4 || !is_met(route)) continue;
    if (route.tos != 0 && overlap(block_of(route), block)) return {.obstacle = oddity(route)};
    if (block_of(route).contains(block) && is_better(route)) whole = &route;
  }
  if (!whole) return {.obstacle = "no route to all of it"};
  if (auto words = oddity(*whole); !words.empty()) return {.obstacle = std::move(words)};
  for (const FoundRoute& route : tables.routes) {
    if (!route.v4 || !is_met(route) || !block.contains(block_of(route))) continue;
    if (auto words = oddity(route); !words.empty()) return {.obstacle = std::move(words)};
    if (route.device != whole->device && &route != whole && !(block_of(route) == block)) {
      return {.obstacle = "a route to " + route.prefix_text() + " by another device"};
    }
  }
  return {.device = whole->device, .obstacle = {}};
}

std::string near_part(const RoutingTables& tables, const Ipv4Block& block) {
  if (!tables.unknown.empty()) return tables.unknown;
  for (const FoundRoute& route : tables.routes) {
    if (!route.v4) continue;
    if (!route.gateway && route.type == RTN_UNICAST && overlap(block_of(route), block)) {
      return "the network " + route.prefix_text();
    }
    if (route.prefix_length == 0 && route.gateway && block.contains(*route.gateway)) {
      return "the gateway " + route.gateway->text();
    }
  }
  return {};
}

}  // namespace sockswitch
