#include "policy/destination.h"

#include <stdexcept>

#include "base/public_address.h"

namespace sockswitch {
namespace {

PrefixSet compile_set(const std::vector<std::string>& texts) {
  PrefixSet set;
  for (const std::string& text : texts) {
    auto prefix = Prefix::parse(text);
    if (!prefix) throw std::invalid_argument("not a CIDR: " + text);
    set.add(*prefix);
  }
  return set;
}

std::optional<Outcome> fixed_v4(std::uint32_t address) {
  std::uint32_t first = address >> 24;
  if (address == 0) return Outcome::kUnspecified;
  if (first == 0) return Outcome::kNoRoute;  // 0.0.0.0/8, "this network" (RFC 1122)
  if (first == 127) return Outcome::kLoopback;
  if (address >> 16 == 0xA9FE) return Outcome::kLinkLocal;  // 169.254.0.0/16
  if (address == 0xFFFFFFFF) return Outcome::kBroadcast;
  if (first >= 224 && first < 240) return Outcome::kMulticast;
  return {};
}

std::optional<Outcome> fixed_v6(const Address& address, std::uint32_t scope) {
  static const Address kUnspecified{};
  static const Address kLoopback = *Address::parse("::1");
  if (address == kUnspecified) return Outcome::kUnspecified;
  if (address == kLoopback) return Outcome::kLoopback;
  if (address.bytes[0] == 0xff) return Outcome::kMulticast;
  if (is_link_local(address)) return Outcome::kLinkLocal;
  if (scope != 0) return Outcome::kLinkLocal;  // a zone names a device of the container
  return {};
}

}  // namespace

Policy Policy::compile(const std::vector<std::string>& ignore,
                       const std::vector<std::string>& podman_networks) {
  return {.ignore = compile_set(ignore),
          .podman_networks = compile_set(podman_networks),
          .published = {},
          .socket_label = {}};
}

std::optional<Outcome> fixed_rule(const Destination& destination) {
  if (destination.address.is_v4()) return fixed_v4(destination.address.v4());
  return fixed_v6(destination.address, destination.scope);
}

std::optional<RouteDecision> judge_by_lists(const Destination& destination, const Policy& policy,
                                            std::string* detail) {
  if (auto rule = fixed_rule(destination)) return RouteDecision{*rule, 0, {}};
  if (const Prefix* prefix = policy.ignore.find(destination.address)) {
    if (detail) *detail = "ignored by " + prefix->text();
    return RouteDecision{Outcome::kIgnored, 0, {}};
  }
  if (const Prefix* prefix = policy.podman_networks.find(destination.address)) {
    if (detail) *detail = "Podman's network " + prefix->text();
    return RouteDecision{Outcome::kPodmanNetwork, 0, {}};
  }
  return {};
}

RouteDecision judge(const Destination& destination, const Policy& policy, NetworkView& view,
                    int socket, std::string* detail) {
  if (auto decision = judge_by_lists(destination, policy, detail)) return *decision;
  return detail ? view.explain(destination, policy.permissions, *detail)
                : view.decide(destination, socket, policy.permissions);
}

std::optional<Ipv4Block> listed_for_pods(const Address& address, const Policy& policy) {
  std::optional<Ipv4Block> found;
  if (is_public(address)) return found;
  for (const Ipv4Block& network : policy.pods_networks) {
    if (network.contains(address) && (!found || found->contains(network))) found = network;
  }
  return found;
}

std::optional<RouteDecision> judge_pod_by_address(const Destination& destination,
                                                  const Policy& policy, std::string* detail) {
  if (auto decision = judge_by_lists(destination, policy, detail)) return decision;
  if (is_public(destination.address) || listed_for_pods(destination.address, policy)) return {};
  return RouteDecision{Outcome::kPodAddress, 0, {}};
}

}  // namespace sockswitch
