// The device to which kube-proxy's IPVS mode gives the cluster's service addresses, kube-ipvs0, a
// dummy: they are the node's own so. Addresses of load balancers and others from outside are there,
// too. What IPVS itself holds (path/ipvs.h) has NodePorts besides, at the node's other addresses.
#pragma once

#include <vector>

#include "base/address.h"
#include "kernel/netlink_message.h"

namespace sockswitch {

// In the kernel's order, from a NETLINK_ROUTE socket; what could not be read is not there.
std::vector<Address> ipvs_service_addresses(NetlinkSocket& socket);

}  // namespace sockswitch
