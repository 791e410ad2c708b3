// Which destinations may be switched, by address alone: the rules that need no routing table.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "policy/address.h"
#include "policy/network_view.h"
#include "policy/outcome.h"

namespace sockswitch {

struct Publication;  // publish/publication.h

// What configuration and annotations say, compiled by the control plane (src/policy/compile.ts).
struct Policy {
  PrefixSet ignore;
  PrefixSet podman_networks;
  std::vector<std::shared_ptr<Publication>> published;
  bool listen_unseen = false;  // the profile, another tool's, does not report listen(2)

  // Throws std::invalid_argument naming the text that is no prefix.
  static Policy compile(const std::vector<std::string>& ignore,
                        const std::vector<std::string>& podman_networks);
};

// The whole judgement of a destination: fixed rules, then policy, then routes. `detail`, where
// given, gets the rule in words and bypasses the cache.
RouteDecision judge(const Destination& destination, const Policy& policy, NetworkView& view,
                    std::string* detail = nullptr);

// The fixed rules alone; no value if none applies.
std::optional<Outcome> fixed_rule(const Destination& destination);

}  // namespace sockswitch
