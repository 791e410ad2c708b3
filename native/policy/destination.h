// Which destinations may be switched: by address alone, then by what configuration and annotations
// say, then by the way of the container's packets (path/).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/outcome.h"
#include "path/network_view.h"
#include "path/pod_view.h"
#include "policy/publication.h"

namespace sockswitch {

// What configuration and annotations say, compiled by the control plane (src/policy/compile.ts).
struct Policy {
  PrefixSet ignore;
  PrefixSet podman_networks;
  std::vector<std::shared_ptr<Publication>> published;
  Permissions permissions;
  // The filter does not report rarely set options, or sockets of others come here: all are read.
  bool options_unseen = true;
  // Connections of nested namespaces to public addresses are switched (sockswitch/pods=egress).
  bool pods_egress = false;
  std::vector<Ipv4Block> pods_networks;  // ... and to these
  bool host_names = false;               // annotation sockswitch/names=host
  bool listen_unseen = false;            // the profile, another tool's, does not report listen(2)
  std::string socket_label;              // SELinux context of the container's sockets; empty: none

  // Throws std::invalid_argument naming the text that is no prefix.
  static Policy compile(const std::vector<std::string>& ignore,
                        const std::vector<std::string>& podman_networks);
};

// The whole judgement of a destination. `detail`, where given, gets the rule in words, and nothing
// is taken from memory.
// `socket`: the caller's, in the calling thread's table; -1: none.
RouteDecision judge(const Destination& destination, const Policy& policy, NetworkView& view,
                    int socket, std::string* detail = nullptr);

// The same for a connection of a pod, as far as it does not take a look at the network. No value if
// the pod's view has to be asked.
std::optional<RouteDecision> judge_pod_by_address(const Destination& destination,
                                                  const Policy& policy,
                                                  std::string* detail = nullptr);

// The smallest network that is listed for pods and has the address; no value: none, or it is a
// public one, which needs no list.
std::optional<Ipv4Block> listed_for_pods(const Address& address, const Policy& policy);

// What the address alone and lists of prefixes say of a connection, of a pod's, too; no value:
// nothing.
std::optional<RouteDecision> judge_by_lists(const Destination& destination, const Policy& policy,
                                            std::string* detail = nullptr);

// The fixed rules alone; no value if none applies.
std::optional<Outcome> fixed_rule(const Destination& destination);

}  // namespace sockswitch
