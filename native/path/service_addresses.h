// The cluster's service addresses (ClusterIPs) that kube-proxy has written into the packet filter
// of a node:
//
//   iptables mode   rules of the chain KUBE-SERVICES, in whichever table, that lead one destination
//                   to a service's chain, KUBE-SVC-... or KUBE-SVL-... Addresses of load balancers
//                   and others from outside lead to KUBE-EXT-... or KUBE-FW-... instead.
//   nftables mode   elements of the set cluster-ips of the table kube-proxy
//
// Those of kube-proxy's IPVS mode: path/ipvs_device.h.
//
// Whoever may change the container's network may write such rules, too: nothing is decided by them.
#pragma once

#include <vector>

#include "base/address.h"
#include "path/filter_rules.h"

namespace sockswitch {

// In order, each once.
std::vector<Address> service_addresses(const FilterRules& rules);

}  // namespace sockswitch
